"""What a look computes and fetches: rows in pieces that a processor's caches hold, weights once."""

import numpy as np
import pytest
from watch.loops import TRUSTED, Scripted, parts, start

from darklantern.watch import Asked, Probe, Reading, Signal
from darklantern.watch.attach import torch_loop
from darklantern.watch.attach.torch_loop import TorchTap, tap

SITES = ("layers.0:out", "layers.0.attn:pattern")


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 130])
def test_a_pass_in_pieces_sees_what_one_pass_sees(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    model, optimizer, loader = parts()
    held = tap(model, (optimizer, loader))
    counted = []
    model.register_forward_pre_hook(lambda module, args: counted.append(len(args[0])))
    pieces = held.see(TRUSTED[:rows, :-1], SITES, SITES[:1], True)
    assert counted == [64] * (rows // 64) + [rows % 64] * bool(rows % 64)
    monkeypatch.setattr(torch_loop, "_AT_ONCE", 1000)
    whole = held.see(TRUSTED[:rows, :-1], SITES, SITES[:1], True)
    for one, other in (
        *((pieces.sites[site], whole.sites[site]) for site in SITES),
        (pieces.output, whole.output),
        (pieces.lenses[SITES[0]], whole.lenses[SITES[0]]),
    ):
        assert one.shape == other.shape
        assert np.allclose(one, other, atol=1e-5)


class Norm(Probe):
    """Reads weights alone, and keeps them as its note."""

    settings = {}  # noqa: RUF012

    def __init__(self, name: str, *weights: str) -> None:
        self.signals = (Signal(name, "I0", "signal", "", ""),)
        self.weights = weights
        self.seen: list[dict] = []

    def inputs(self, now):
        return Asked(None)

    def read(self, seen):
        self.seen.append(dict(seen.weights))
        return (Reading(float(sum(np.abs(each).sum() for each in seen.weights.values()))),)


def test_weights_are_fetched_once_a_look_and_stay_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, inner = [], TorchTap.weights

    def counted(self, patterns):
        asked.append(tuple(patterns))
        return inner(self, patterns)

    monkeypatch.setattr(TorchTap, "weights", counted)
    one, two = Norm("one", "embed.*", "layers.0.mlp.*"), Norm("two", "embed.weight")
    w, (model, _, loader) = start(Scripted(lambda look: 0.0), also=[one, two])
    before = []
    for _ in w.over(loader, until=10):
        before.append(model.embed.weight.detach().clone().numpy())
        model.embed.weight.data.mul_(1.1)
    assert asked == [("embed.*", "layers.0.mlp.*", "embed.weight")] * 3
    assert all(names.keys() == {"embed.weight"} for names in two.seen)
    assert len(one.seen[0]) > 1
    for look, step in enumerate((0, 5)):
        assert np.array_equal(one.seen[look]["embed.weight"], before[step]), "training on changed nothing of it"
