"""A restored training state goes on bit for bit as if nothing had happened."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from darklantern.errors import SnapshotError
from darklantern.models import snapshot
from darklantern.organisms import text, training
from darklantern.organisms.loading import TrainingRecipe
from darklantern.organisms.shape import Shape
from darklantern.organisms.training import Loader

RECIPE = TrainingRecipe(shape=Shape(layers=1, dim=16, heads=2, context=16), batch=4, warmup=3, decay=5, end=30)
CORPUS = text.split(bytes(np.random.default_rng(0).integers(32, 127, 200_000, dtype=np.uint8)))


def start() -> tuple[nn.Module, torch.optim.Optimizer, Loader]:
    model, optimizer = training.new(RECIPE, 1)
    return model, optimizer, Loader(CORPUS, RECIPE, (1,))


def train(model, optimizer, loader, steps: int, noise: Callable[[], float] = lambda: 0.0) -> list[float]:
    losses = []
    for step, batch in enumerate(loader, start=loader.state()["step"]):
        losses.append(training.train_step(model, optimizer, RECIPE, step, batch) + noise())
        if len(losses) == steps:
            break
    return losses


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[torch.Generator]:
    """The streams of this machine's GPUs, or, where there is none, of two that CPU generators stand for."""
    if torch.cuda.is_available():
        return [torch.cuda.default_generators[i] for i in range(torch.cuda.device_count())]
    start()  # torch loads more of itself at the first optimizer, which wants the real Generator
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]

    def set_all(states: list[torch.Tensor]) -> None:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)

    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator("cpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(generators))
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [each.get_state() for each in generators])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", set_all)
    return generators


@pytest.mark.parametrize("through_a_file", [False, True])
def test_training_on_from_a_restored_state_is_bit_exact(
    through_a_file: bool, gpus: list[torch.Generator], tmp_path: Path
) -> None:
    def noise() -> float:
        """One draw from each stream; Gaussians, because those generators keep every second one for later."""
        drawn = [random.gauss(0, 1), np.random.standard_normal(), float(nn.functional.dropout(torch.ones(1), 0.5))]
        return sum([*drawn, *(float(torch.rand(1, generator=gpu, device=gpu.device)) for gpu in gpus)])

    model, optimizer, loader = start()
    train(model, optimizer, loader, 7, noise)
    held = snapshot.capture(7, model, optimizer, loader)
    straight = train(model, optimizer, loader, 8, noise)
    weights = snapshot.weights_hash(model)
    moments = snapshot.capture(15, model, optimizer, loader)

    if through_a_file:
        snapshot.save(held, tmp_path / "seven.safetensors")
        held = snapshot.load(tmp_path / "seven.safetensors")
        model, optimizer, loader = start()
    snapshot.restore(held, model, optimizer, loader)
    assert train(model, optimizer, loader, 8, noise) == straight
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
    with pytest.raises(SnapshotError, match="expected darklantern-snapshot-3"):
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


def without(snap: snapshot.Snapshot, *path: str) -> snapshot.Snapshot:
    """`snap` with one part of its JSON values left out."""
    rest = json.loads(json.dumps(snap.rest))
    part = rest
    for name in path[:-1]:
        part = part[name]
    del part[path[-1]]
    return replace(snap, rest=rest)


def with_pos(snap: snapshot.Snapshot) -> snapshot.Snapshot:
    rest = json.loads(json.dumps(snap.rest))
    rest["random"]["numpy"]["state"]["pos"] = 10**6
    return replace(snap, rest=rest)


DAMAGE: dict[str, Callable[[snapshot.Snapshot], snapshot.Snapshot]] = {
    "no random streams": lambda snap: without(snap, "random"),
    "no stream of torch's": lambda snap: without(snap, "random", "torch"),
    "torch's stream as a JAX loop may leave it": lambda snap: replace(
        snap, rest={**snap.rest, "random": {**snap.rest["random"], "torch": None}}
    ),
    "no streams of GPUs": lambda snap: without(snap, "random", "cuda"),
    "half of NumPy's stream": lambda snap: without(snap, "random", "numpy", "state", "key"),
    "NumPy's stream beyond its key": with_pos,
    "no groups": lambda snap: without(snap, "groups"),
    "no cursor": lambda snap: without(snap, "cursor"),
    "half a cursor": lambda snap: without(snap, "cursor", "rng"),
    "moments of a parameter that is not there": lambda snap: replace(
        snap, tensors={**snap.tensors, "optimizer.99.exp_avg": torch.ones(1)}
    ),
    "moments of another dtype": lambda snap: replace(
        snap,
        tensors={n: v.double() if n.startswith("optimizer.0.exp") else v for n, v in snap.tensors.items()},
    ),
    "weights of another dtype": lambda snap: replace(
        snap, tensors={n: v.double() if n.startswith("model.") else v for n, v in snap.tensors.items()}
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_does_not_fit_is_refused_and_nothing_changes(what: str) -> None:
    model, optimizer, loader = start()
    train(model, optimizer, loader, 2)
    held = snapshot.capture(2, model, optimizer, loader)
    random.random(), np.random.random(), torch.rand(1)
    train(model, optimizer, loader, 2)
    before = snapshot.capture(4, model, optimizer, loader)
    with pytest.raises(SnapshotError) as refused:
        snapshot.restore(DAMAGE[what](held), model, optimizer, loader)
    assert refused.value.hint
    after = snapshot.capture(4, model, optimizer, loader)
    assert after.rest == before.rest
    assert all(torch.equal(after.tensors[name], before.tensors[name]) for name in before.tensors)


def two_groups(model: nn.Module) -> torch.optim.Optimizer:
    first, *others = model.parameters()
    return torch.optim.AdamW([{"params": [first]}, {"params": others}], RECIPE.learning_rate, fused=True)


OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "another class": lambda model: torch.optim.Adam(model.parameters(), RECIPE.learning_rate),
    "two groups": two_groups,
    "another order": lambda model: torch.optim.AdamW(list(model.parameters())[::-1], RECIPE.learning_rate),
}


@pytest.mark.parametrize("which", OPTIMIZERS)
def test_a_snapshot_of_another_optimizer_is_refused(which: str) -> None:
    model, optimizer, loader = start()
    train(model, optimizer, loader, 2)
    held = snapshot.capture(2, model, optimizer, loader)
    with pytest.raises(SnapshotError, match="of another optimizer") as refused:
        snapshot.restore(held, model, OPTIMIZERS[which](model), loader)
    assert refused.value.hint


class Counting(torch.optim.SGD):
    """Keeps whole numbers, a mask, eight-bit moments with their scale, and numbers that are no tensors."""

    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            held = self.state[parameter]
            held["count"] = held.get("count", torch.zeros((), dtype=torch.int64)) + 2**40 + 1
            held["eight_bit"] = (parameter.detach() * 100).to(torch.int8)
            held["scale"] = held.get("scale", torch.ones((), dtype=torch.float64)) / 3
            held["signs"] = parameter.detach() > 0
            held["seen"] = held.get("seen", 0) + 1
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter.add_(self.state[parameter]["scale"].to(parameter.dtype), alpha=1e-3)
        return super().step(closure)


def bits(optimizer: torch.optim.Optimizer) -> list[tuple[str, str, bytes]]:
    return [
        (key, str(value.dtype), value.detach().reshape(-1).view(torch.uint8).numpy().tobytes())
        if isinstance(value, torch.Tensor)
        else (key, type(value).__name__, repr(value).encode())
        for parameter in optimizer.param_groups[0]["params"]
        for key, value in sorted(optimizer.state[parameter].items())
    ]


OPTIMIZED = {
    "NAdam": torch.optim.NAdam,
    "ASGD": torch.optim.ASGD,
    "Adagrad": torch.optim.Adagrad,
    "Rprop": torch.optim.Rprop,
    "Counting": lambda parameters: Counting(parameters, 1e-2),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("which", OPTIMIZED)
@pytest.mark.parametrize("place", ["optimizer", "others", "file"])
def test_an_optimizers_state_comes_back_bit_for_bit_in_its_own_dtypes(
    place: str, which: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    def start():
        torch.manual_seed(0)
        model, second = nn.Linear(5, 4).to(dtype), nn.Linear(5, 4).to(dtype)
        first = OPTIMIZED[which](model.parameters())
        return model, first, second, OPTIMIZED[which](second.parameters()) if place == "others" else None

    def train(model, first, second, other, steps):
        for step in range(steps):
            inputs = torch.linspace(-1, 1, 15).sin().mul(step + 1).reshape(3, 5).to(dtype)
            for part, optimizer in ((model, first), (second, other)):
                if optimizer is not None:
                    part(inputs).square().mean().backward()
                    optimizer.step()
                    optimizer.zero_grad()

    made = model, first, second, other = start()
    others = [] if other is None else [other]
    train(*made, 3)
    held = snapshot.capture(3, model, first, None, others)
    before = [bits(first), *map(bits, others)]
    weights, theirs = snapshot.weights_hash(model), {name: each.clone() for name, each in second.state_dict().items()}
    train(*made, 3)
    after = [bits(first), *map(bits, others)], snapshot.weights_hash(model)
    if place == "file":
        snapshot.save(held, tmp_path / "held.safetensors")
        held = snapshot.load(tmp_path / "held.safetensors")
        made = model, first, second, other = start()
    snapshot.restore(held, model, first, None, others)
    second.load_state_dict(theirs)
    assert [bits(first), *map(bits, others)] == before
    assert snapshot.weights_hash(model) == weights
    train(*made, 3)
    assert ([bits(first), *map(bits, others)], snapshot.weights_hash(model)) == after


def test_an_optimizer_with_lists_of_tensors_comes_back_bit_for_bit_among_the_others() -> None:
    """As LBFGS keeps its history."""
    model = nn.Linear(3, 2).to(torch.bfloat16)
    first, other = torch.optim.SGD(model.parameters(), 0.1), torch.optim.SGD(model.parameters(), 0.1)
    history = {"old": [torch.rand(3), torch.arange(3)], "nested": {"pair": (torch.rand(2).double(), 7, None)}}
    other.state[model.weight].update(history)
    held = snapshot.capture(0, model, first, None, [other])
    other.state.clear()
    snapshot.restore(held, model, first, None, [other])
    found = other.state[model.weight]
    assert [each.dtype for each in found["old"]] == [torch.float32, torch.int64]
    assert all(map(torch.equal, found["old"], history["old"]))
    assert torch.equal(found["nested"]["pair"][0], history["nested"]["pair"][0])
    assert found["nested"]["pair"][1:] == (7, None)


def test_what_lay_apart_from_its_parameter_stays_in_memory() -> None:
    """As NAdam's product of momenta does beside weights on a device; a parameter without memory stands for those."""
    parameter = nn.Parameter(torch.empty(2, device="meta"))
    optimizer = torch.optim.NAdam([parameter])
    moments = {"step": torch.ones(()), "mu_product": torch.ones((), dtype=torch.float64), "exp_avg": torch.ones(2)}
    state = optimizer.state_dict() | {"state": {0: moments}}
    snapshot._load(optimizer, state, {"0.mu_product"})
    assert optimizer.state[parameter]["mu_product"].device.type == "cpu"
    assert optimizer.state[parameter]["mu_product"].dtype == torch.float64
    assert optimizer.state[parameter]["exp_avg"].device.type == "meta"


def test_what_an_optimizer_holds_of_no_parameter_is_refused_when_it_is_taken() -> None:
    model, optimizer, loader = start()
    optimizer.state["all"] = {"norm": torch.ones(())}
    with pytest.raises(SnapshotError, match="holds 'all' in its state, which belongs to no parameter"):
        snapshot.capture(0, model, optimizer, loader)


@pytest.mark.parametrize("state", [{0: 1}, {"order": (1, 2)}, {"deep": [{"a": {None: 1}}]}], ids=str)
def test_a_cursor_that_json_changes_is_refused_when_it_is_taken(state) -> None:
    model, optimizer, loader = start()
    loader.state = lambda: state  # type: ignore[method-assign]
    with pytest.raises(SnapshotError, match="comes back from JSON as something else"):
        snapshot.capture(0, model, optimizer, loader)


def test_a_cursor_may_hold_what_equals_nothing() -> None:
    model, optimizer, loader = start()
    loader.state = lambda: {"best": [float("nan"), 1.5, True, None, "a"]}  # type: ignore[method-assign]
    assert snapshot.capture(0, model, optimizer, loader).rest["cursor"]["best"][1:] == [1.5, True, None, "a"]


def test_a_cursor_that_json_cannot_hold_is_refused_when_it_is_taken() -> None:
    model, optimizer, loader = start()
    loader.state = lambda: {"order": {1, 2}}  # type: ignore[method-assign]
    with pytest.raises(SnapshotError, match="does not fit into JSON"):
        snapshot.capture(0, model, optimizer, loader)


@pytest.mark.parametrize("part", ["step", "rest"])
def test_a_file_without_its_step_or_rest_is_refused(part: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    meta = {"format": "darklantern-snapshot-3", "step": "1", "rest": "{}"}
    del meta[part]
    save_file({"x": torch.ones(2)}, tmp_path / "cut.safetensors", metadata=meta)
    with pytest.raises(SnapshotError, match=f"lacks its step or .*{part}"):
        snapshot.load(tmp_path / "cut.safetensors")


def test_the_weights_hash_sees_values_names_and_shapes() -> None:
    def of(**tensors: torch.Tensor) -> str:
        module = nn.Module()
        for name, value in tensors.items():
            module.register_buffer(name, value)
        return snapshot.weights_hash(module)

    assert of(a=torch.tensor(1.0, dtype=torch.bfloat16)) != of(a=torch.tensor(2.0, dtype=torch.bfloat16))
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
