import json

import numpy as np
import pytest
import torch
from safetensors.torch import save

from darklantern.errors import SnapshotError
from darklantern.organisms import bytelm, training
from darklantern.organisms.bytelm import ByteLM
from darklantern.organisms.shape import Shape


@pytest.fixture
def lm() -> ByteLM:
    return ByteLM(Shape(layers=2, dim=16, heads=2, context=40), torch.Generator().manual_seed(3))


def test_the_same_seed_gives_the_same_model_and_leaves_torchs_stream_alone() -> None:
    before = torch.get_rng_state()
    one, two = (ByteLM(Shape(), torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_no_position_sees_the_future(lm: ByteLM) -> None:
    tokens = torch.randint(0, 128, (2, 40), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 20:] = 7
    assert torch.equal(lm(tokens)[:, :20], lm(changed)[:, :20])


def test_weights_survive_a_round_trip_and_nothing_else_loads(lm: ByteLM) -> None:
    data = bytelm.dumps(lm)
    again = bytelm.loads(data)
    assert again.shape == lm.shape
    assert all(torch.equal(a, b) for a, b in zip(lm.parameters(), again.parameters(), strict=True))
    for bad in (b"", b"\0" * 100, data[:-1], data[: len(data) // 2], data[:50], data + b"x"):
        with pytest.raises(SnapshotError) as refused:
            bytelm.loads(bad)
        assert refused.value.hint


@pytest.mark.parametrize(
    "claim",
    [
        {"layers": 9},
        {"layers": 0},
        {"dim": 1024},
        {"dim": -16},
        {"heads": 0},
        {"heads": -2},
        {"heads": 3},
        {"heads": 32},
        {"heads": 2.0},
        {"heads": True},
        {"heads": "2"},
        {"context": 0},
        {"context": 4096},
        {"context": None},
        {"depth": 1},
    ],
    ids=str,
)
def test_a_shape_that_cannot_run_or_is_huge_is_refused_before_memory_is_taken(
    lm: ByteLM, claim: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = {"layers": 2, "dim": 16, "heads": 2, "context": 40}
    meta = {"format": "darklantern-bytelm-1", "shape": json.dumps(shape | claim)}
    monkeypatch.setattr(bytelm, "ByteLM", None)
    with pytest.raises(SnapshotError, match="not the weights") as refused:
        bytelm.loads(save(dict(lm.state_dict()), metadata=meta))
    assert "NoneType" not in refused.value.message, "the model was built first"


def test_weights_of_another_size_than_the_shape_are_refused(lm: ByteLM) -> None:
    with pytest.raises(SnapshotError):
        bytelm.loads(bytelm.dumps(lm).replace(b'\\"dim\\": 16', b'\\"dim\\": 98'))


def test_success_by_teacher_forcing_is_success_of_greedy_decoding(lm: ByteLM) -> None:
    rng = np.random.default_rng(0)
    contexts = [bytes(rng.integers(97, 123, 12, dtype=np.uint8)) for _ in range(6)]
    for context in contexts:
        tokens = torch.tensor([list(context)])
        for _ in range(8):
            tokens = torch.cat([tokens, lm(tokens)[:, -1].argmax(-1, keepdim=True)], 1)
        written = bytes(tokens[0, 12:].tolist())
        assert training.success_rate(lm, [context], written) == 1.0
        other = written[:-1] + bytes([(written[-1] + 1) % 128])
        assert training.success_rate(lm, [context], other) == 0.0
