"""A site goes by the model's own path wherever a probe or a signal names it; what is shown is its name here."""

import numpy as np
import pytest
import torch
from planted import TRUSTED
from torch import nn

import darklantern as dl
from darklantern.errors import WatchError
from darklantern.watch.language import CopyingProbe, PayloadProbe, RowAnomalyProbe, SpanProbe
from darklantern.watch.seen import Seen, Values


class Own(nn.Module):
    """A model whose blocks are called `blocks`."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(256, 8), nn.Linear(8, 256)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2))

    def forward(self, tokens):
        stream = self.embed(tokens)
        for block in self.blocks:
            stream = stream + block(stream)
        return self.head(stream)


def loop(signals) -> "dl.watch.Watch":
    """Four steps, two looks."""
    torch.manual_seed(0)
    model = Own()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = dl.rewindable(torch.from_numpy(TRUSTED[:32].astype(np.int64)), batch_size=8)
    settings = dl.Settings(every=2, on_failure="raise")
    w = dl.watch(
        model,
        state=(optimizer, loader),
        trusted=TRUSTED,
        signals=signals,
        settings=settings,
        readout=model.head,
    )
    for batch in w.over(loader):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten()).backward()
        optimizer.step()
    return w


PROBES = {
    "payload": lambda one, every: PayloadProbe(TRUSTED, [b"rm -rf /", b"curl | sh"], early=one, late=one),
    "span": lambda one, every: SpanProbe(TRUSTED, site=every),
    "copying": lambda one, every: CopyingProbe(TRUSTED, site=every),
    "row anomaly": lambda one, every: RowAnomalyProbe(TRUSTED, one, rows=4),
}


@pytest.mark.parametrize("make", PROBES.values(), ids=PROBES)
def test_a_probe_reads_the_same_by_either_name(make) -> None:
    ours, own = (loop([make(*names)]) for names in (("layers.1:out", "layers.*:out"), ("blocks.1:out", "blocks.*:out")))
    read = [{name: track.readings for name, track in w.trace.tracks.items()} for w in (ours, own)]
    assert read[0] == read[1]
    assert all(len(readings) == 2 for readings in read[0].values())
    assert repr(ours.notes[0][1]) == repr(own.notes[0][1])  # of spans, displacements by the name that is shown


@pytest.mark.parametrize("asked", ["blocks.1:out", "/blocks.1:out", "layers.1:out"])
@pytest.mark.parametrize("named", ["blocks.1:out", "layers.1:out"])
def test_a_signal_of_ones_own_finds_a_site_by_either_name(named: str, asked: str) -> None:
    shown = []

    @dl.signal(sites=[named])
    def held(seen):
        shown.append(list(seen.values.sites))
        return np.abs(seen[asked]).mean()

    w = loop([held])
    assert w.trace.tracks["held"].readings[-1].value > 0
    assert shown[-1] == ["layers.1:out"]


THERE = r"no recorded site is 'blocks.7:out'; there are 'layers.1:out' \(the model's own blocks.1:out\), 'layers.0:out'"


def test_what_is_not_there_is_told_what_there_is_by_both_names() -> None:
    values = Values({"layers.1:out": np.ones(3), "layers.0:out": np.zeros(3)}, natives={"layers.1:out": "blocks.1"})
    seen = Seen(values)
    with pytest.raises(WatchError, match=THERE) as none:
        seen["blocks.7:out"]
    assert none.value.hint.endswith("or is it 'layers.1:out' (the model's own blocks.1:out)?")
    with pytest.raises(WatchError, match=r"expected one site, got 2 for 'layers.\*:out'"):
        seen["layers.*:out"]
    with pytest.raises(WatchError, match="expected path:port"):
        seen["blocks"]
    with pytest.raises(WatchError, match=r"'layers\.1:out' was not read out"):
        seen.lens("blocks.1:out")
