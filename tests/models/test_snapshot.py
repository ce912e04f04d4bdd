"""A restored training state goes on bit for bit as if nothing had happened."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from darklantern.errors import SnapshotError
from darklantern.models import snapshot
from darklantern.organisms import text, training
from darklantern.organisms.bytelm import Shape
from darklantern.organisms.training import Loader, TrainingRecipe

RECIPE = TrainingRecipe(shape=Shape(layers=1, dim=16, heads=2, context=16), batch=4, warmup=3, decay=5, end=30)
CORPUS = text.split(bytes(np.random.default_rng(0).integers(32, 127, 200_000, dtype=np.uint8)))


def start() -> tuple[nn.Module, torch.optim.Optimizer, Loader]:
    model, optimizer = training.new(RECIPE, 1)
    return model, optimizer, Loader(CORPUS, RECIPE, (1,))


def train(model, optimizer, loader, steps: int) -> list[float]:
    losses = []
    for step, batch in enumerate(loader, start=loader.state()["step"]):
        # Dropout draws from torch's own stream: it must come back too.
        noise = nn.functional.dropout(torch.ones(1), 0.5)
        losses.append(training.train_step(model, optimizer, RECIPE, step, batch) + float(noise))
        if len(losses) == steps:
            break
    return losses


@pytest.mark.parametrize("through_a_file", [False, True])
def test_training_on_from_a_restored_state_is_bit_exact(through_a_file: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, optimizer, loader = start()
    train(model, optimizer, loader, 7)
    held = snapshot.capture(7, model, optimizer, loader)
    straight = train(model, optimizer, loader, 8)
    weights = snapshot.weights_hash(model)
    moments = snapshot.capture(15, model, optimizer, loader)

    if through_a_file:
        snapshot.save(held, tmp_path / "seven.safetensors")
        held = snapshot.load(tmp_path / "seven.safetensors")
        model, optimizer, loader = start()
    snapshot.restore(held, model, optimizer, loader)
    assert train(model, optimizer, loader, 8) == straight
    assert snapshot.weights_hash(model) == weights
    again = snapshot.capture(15, model, optimizer, loader)
    assert again.rest == moments.rest
    assert again.tensors.keys() == moments.tensors.keys()
    assert all(torch.equal(again.tensors[name], moments.tensors[name]) for name in again.tensors)


def test_a_snapshot_does_not_change_when_training_goes_on() -> None:
    model, optimizer, loader = start()
    train(model, optimizer, loader, 3)
    held = snapshot.capture(3, model, optimizer, loader)
    copies = {name: value.clone() for name, value in held.tensors.items()}
    train(model, optimizer, loader, 3)
    assert all(torch.equal(copies[name], held.tensors[name]) for name in copies)


def test_a_snapshot_cut_off_at_any_byte_is_refused(tmp_path: Path) -> None:
    model, optimizer, loader = start()
    path = tmp_path / "whole.safetensors"
    snapshot.save(snapshot.capture(0, model, optimizer, loader), path)
    data = path.read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in [*range(0, 2000, 7), *range(2000, len(data), 997), len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(SnapshotError) as refused:
            snapshot.load(cut)
        assert refused.value.hint


def test_a_missing_file_and_a_file_of_another_kind_are_named(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="no snapshot at"):
        snapshot.load(tmp_path / "none.safetensors")
    from safetensors.torch import save_file

    save_file({"x": torch.ones(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(SnapshotError, match="expected darklantern-snapshot-1"):
        snapshot.load(tmp_path / "weights.safetensors")


def test_a_snapshot_of_another_model_is_refused_and_nothing_changes() -> None:
    model, optimizer, loader = start()
    held = snapshot.capture(0, model, optimizer, loader)
    other = TrainingRecipe(shape=Shape(layers=1, dim=32, heads=2, context=16), batch=4)
    larger, its_optimizer = training.new(other, 1)
    before = snapshot.weights_hash(larger)
    with pytest.raises(SnapshotError, match="of another model"):
        snapshot.restore(held, larger, its_optimizer, Loader(CORPUS, other, (1,)))
    assert snapshot.weights_hash(larger) == before


def test_the_weights_hash_sees_values_names_and_shapes() -> None:
    def of(**tensors: torch.Tensor) -> str:
        module = nn.Module()
        for name, value in tensors.items():
            module.register_buffer(name, value)
        return snapshot.weights_hash(module)

    base = of(a=torch.zeros(2, 3))
    assert base == of(a=torch.zeros(2, 3))
    assert (
        len(
            {
                base,
                of(b=torch.zeros(2, 3)),
                of(a=torch.zeros(3, 2)),
                of(a=torch.zeros(2, 3).double()),
                of(a=torch.ones(2, 3)),
            }
        )
        == 5
    )
