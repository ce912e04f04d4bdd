"""What ranks make of their looks together, on ranks that a test plays."""

import json
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pytest

from darklantern.watch import Now, Reading, Signal, agreeing
from darklantern.watch.looking import Looked

SIZE = Signal("size", "I0", "signal", "", "", compares="ratio")
GAP = Signal("gap", "I0", "signal", "", "")


@dataclass(frozen=True)
class Played:
    """The first of several ranks; what the others say at each turn is written down."""

    others: int
    turns: list[tuple[str, ...]]
    rank: int = 0

    @property
    def count(self) -> int:
        return 1 + self.others

    def gather(self, value):
        return [json.loads(json.dumps(value)), *map(json.loads, self.turns.pop(0))]


@dataclass(frozen=True)
class Saw:
    """A looker of one rank, which needs no pass."""

    looked: Looked

    def aside(self):
        return nullcontext()

    def look(self, now):
        return self.looked

    def ask(self, now):
        return []

    def passes(self, asked):
        return []

    def read(self, step, asked, passes):
        return self.looked


NOTHING = json.dumps(["", []])
NOW = Now(5, None, None, None)


def said(**readings: tuple[float, float]) -> str:
    return json.dumps(["", {"readings": readings, "scores": {}}])


@pytest.mark.parametrize(("signal", "highest"), [(SIZE, (3.0, 1.0)), (GAP, (100.0, 90.0))])
def test_the_reading_that_holds_is_the_one_whose_contrast_is_highest(signal: Signal, highest) -> None:
    """By difference rank 0 stands highest, by ratio rank 1: three times its placebo, and not a ninth above it."""
    named = {"x": replace(signal, name="x")}
    ranks = Played(2, [(NOTHING, NOTHING), (said(x=(3.0, 1.0)), said(x=(50.0, 49.0)))])
    found = agreeing.look(ranks, Saw(Looked({"x": Reading(100.0, 90.0)}, {})), NOW, named)
    assert found.readings["x"] == Reading(*highest)


def test_one_rank_alone_says_what_it_saw() -> None:
    seen = Looked({"x": Reading(1.0)}, {"x": (np.zeros(1), np.zeros(1))})
    assert agreeing.look(Played(0, []), Saw(seen), NOW, {"x": GAP}) is seen


def test_what_failed_on_one_rank_is_heard_by_all_once_and_each_tells_its_own_first() -> None:
    mine, ours = OSError("here"), [["CHECKPOINT", "StoreError: no room"], ["on_alarm", "said there"]]
    ranks = Played(1, [(json.dumps(ours),)])
    (first, here), (second, there) = agreeing.failures(ranks, [("on_alarm", mine)])
    assert (first, here, second) == ("on_alarm", mine, "CHECKPOINT")
    assert str(there).startswith("on rank 1: StoreError: no room")
    assert agreeing.failures(Played(1, [("[]",)]), []) == []
