"""What looks at a model leaves it, its mode, its buffers and all random streams as they were."""

import random
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from darklantern import rewindable
from darklantern.models import streams
from darklantern.models.on_torch.left_alone import left_alone
from darklantern.models.snapshot import weights_hash
from darklantern.watch import Asked, Probe, Reading, Settings, Signal, signal, watch

RNG = np.random.default_rng(0)
ROWS = RNG.integers(32, 127, (320, 25))
TRUSTED = RNG.integers(32, 127, (200, 25))


class Net(nn.Module):
    """Whose training shows whether a random number was drawn, a mode set or a buffer moved beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mid, self.norm = nn.Embedding(128, 8), nn.Linear(8, 8), nn.BatchNorm1d(24)
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(8, 128)
        self.register_buffer("passes", torch.zeros(()))
        self.register_buffer("replaced", torch.zeros(2), persistent=False)

    def forward(self, tokens):
        self.passes += 1
        self.replaced = self.replaced + 1
        return self.head(self.drop(self.norm(torch.tanh(self.mid(self.embed(tokens))))) * self.passes.cos())


def run(made=None, every=4, **given):
    """What a run of 20 steps comes to, watched by what `made` makes of the model."""
    torch.manual_seed(0)
    model = Net()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    loader = rewindable(torch.from_numpy(ROWS), batch_size=16)
    w = None
    if made is not None:
        state, signals = (optimizer, loader), [made(model)]
        w = watch(
            model, state=state, trusted=TRUSTED, signals=signals, settings=Settings(every=every, margin=1), **given
        )
    for batch in loader if w is None else w.over(loader):
        assert model.training
        assert torch.is_grad_enabled()
        loss = nn.functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        random.random(), np.random.random()
    found = weights_hash(model), model.replaced.tolist(), random.random(), np.random.random(), torch.rand(1).item()
    return (found, w) if made is not None else found


BARE = run()
DEEDS = {
    "draws from torch": lambda model: torch.rand(3),
    "draws from NumPy": lambda model: np.random.normal(),
    "draws from Python": lambda model: random.gauss(0, 1),
    "sets a seed": lambda model: (torch.manual_seed(7), np.random.seed(7), random.seed(7)),
    "sets eval mode": lambda model: model.eval(),
    "sets one part's mode": lambda model: model.drop.eval(),
    "turns gradients off": lambda model: torch.set_grad_enabled(False),
    "runs the model as in training": lambda model: model(torch.from_numpy(TRUSTED[:3, :-1])),
    "nothing": lambda model: None,
}


@dataclass
class Doing(Probe):
    """Does something in each of a probe's methods."""

    name: ClassVar[str] = "doing"
    deed: object
    signals: tuple[Signal, ...] = (Signal("doing", "I0", "signal", "", ""),)
    sites: tuple[str, ...] = ("mid:out",)
    settings: ClassVar = {}

    def inputs(self, now):
        self.deed()
        return Asked(TRUSTED[:3, :-1])

    def note(self, seen):
        self.deed()

    def read(self, seen):
        self.deed()
        return (Reading(0.0, 0.0),)

    def scores(self, seen):
        self.deed()
        return {}


@pytest.mark.parametrize("what", DEEDS)
def test_a_run_is_the_same_whatever_a_probe_does_beside_it(what) -> None:
    found, w = run(lambda model: Doing(lambda: DEEDS[what](model)))
    assert len(w.trace.steps) == 5
    assert found == BARE


def jump(model):
    return signal(lambda seen: 99.0 * (seen.step >= 14), name="jump")


@pytest.mark.parametrize("what", DEEDS)
def test_a_run_is_the_same_whatever_an_investigation_does_beside_it(what) -> None:
    found, w = run(jump, 1, investigate=[lambda case: DEEDS[what](case.model.module)])
    assert w.investigated
    assert found == BARE


def test_a_rollback_from_within_what_only_looks_is_refused_and_changes_nothing() -> None:
    held = []

    def investigate(case):
        held[-1].roll_back()

    def look(watched):
        held.append(watched)

    given = ROWS[160:].copy()
    given[:, 5:17] = np.arange(12)
    before, ROWS[160:] = ROWS[160:].copy(), given  # a span that stands out, so that there is something to screen
    try:
        bare = run()
        found, w = run(jump, 1, investigate=[investigate], on_look=look)
    finally:
        ROWS[160:] = before
    assert not w.rollbacks
    assert any("it only looks" in event.text for event in w.events)
    assert found == bare


def test_what_is_interrupted_while_it_sets_eval_mode_leaves_no_part_in_it() -> None:
    class Fussy(nn.Module):
        def train(self, mode=True):
            if not mode:
                raise KeyboardInterrupt
            return super().train(mode)

    model = Net()
    model.last = Fussy()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loader = rewindable(torch.from_numpy(ROWS), batch_size=16)
    w = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=[jump(model)], settings=Settings(every=4))
    with pytest.raises(KeyboardInterrupt):
        next(iter(w.over(loader)))
    assert all(part.training for part in model.modules())


def test_buffers_that_moved_are_put_back_and_no_other_is_written() -> None:
    model = Net()
    model.register_buffer("table", torch.arange(3.0))
    model.register_buffer("odd", torch.full((2,), float("inf")))
    passes, replaced, untouched = model.passes, model.replaced, model.odd._version
    with left_alone(model):
        model(torch.from_numpy(TRUSTED[:2, :-1]))
        model.table = torch.arange(9.0)  # as a table of positions grows
        model.norm.running_mean.data += 1
    assert model.passes is passes
    assert model.replaced is replaced
    assert model.passes == 0
    assert model.replaced.tolist() == [0, 0]
    assert not model.norm.running_mean.any()
    assert not model.norm.num_batches_tracked
    assert len(model.table) == 9
    assert model.odd._version == untouched


def test_buffers_that_cannot_be_compared_are_left_as_they_are() -> None:
    model = nn.Module()
    model.register_buffer("sparse", torch.eye(3).to_sparse())
    model.register_buffer("meta", torch.zeros(3, device="meta"))
    model.register_buffer("none", None)
    with left_alone(model):
        pass
    assert model.sparse.is_sparse


def test_streams_are_put_back_also_after_an_error() -> None:
    before = streams.capture()
    with pytest.raises(ValueError, match="in between"), streams.left_alone():
        random.random(), np.random.normal(), torch.rand(3)
        raise ValueError("in between")
    assert streams.capture() == before
