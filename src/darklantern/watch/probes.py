"""Probes: the rows that a watch runs at a look, and the signals that it reads from that one run.

A signal always comes with a placebo: the same measurement on matched material that no danger
concerns. What counts is how the two differ, so that what training does to everything cancels.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.examples import Examples, Pool
from darklantern.watch.screening import Screen
from darklantern.watch.seen import Floats, Seen
from darklantern.watch.spans import SpanCounter

Array = NDArray[Any]
FLOOR = 1e-9
"""below which a size counts as this, so that a ratio of nothing to nothing is 1"""
HELD_OUT = "a held-out monitor"
"""all that is said of one"""


@dataclass(frozen=True)
class Signal:
    """What a signal is. `role` tells an internal signal from a behavioural monitor."""

    name: str
    tier: Literal["I0", "I1", "I2"]
    """what the watch must know: I0 trusted rows; I1 also the class of harm; I2 trigger and payload"""
    role: Literal["signal", "behaviour"]
    unit: str
    reads: str
    """one sentence: the formula, higher being more dangerous"""
    grain: float = 0.0
    """the smallest change worth a standard deviation, in the signal's unit: steadier clean runs do not
    make smaller changes matter"""
    placebo: str = ""
    """what it is held against"""
    source: str = ""
    """the paper that the formula is from"""
    cost: str = ""
    """what a look costs, in forward (F) and backward (B) passes over how many rows"""
    detector: Literal["ewma", "cusum", "anchored", "betting"] = "ewma"
    """ewma for what jumps, cusum for what creeps, anchored for what stays changed since the start: see `since_start`"""
    compares: Literal["difference", "ratio"] = "difference"
    """how value and placebo are held against each other: by their difference, or, where both are sizes above 0 that
    training changes by factors, by the logarithm of their ratio; `grain` is in the unit of that"""
    says: Literal["circuit", "novelty"] = "circuit"
    """what an alarm by it claims: novelty is what a signal says that new but harmless data raises too"""
    held_out: bool = False
    """whether it may alarm but is shown nowhere: see `monitors`"""

    @property
    def shown(self) -> str:
        """Its name, for whoever may read it."""
        return HELD_OUT if self.held_out else self.name

    def contrast(self, reading: "Reading") -> float:
        """What a reading says, its placebo taken off."""
        if self.compares == "difference":
            return reading.difference
        value, placebo = (max(each, FLOOR) for each in (reading.value, reading.placebo))
        return math.log(value / placebo)

    def size(self, reading: "Reading") -> float:
        """Of what a contrast is made of, in the contrast's unit: rounding is in proportion to it."""
        return 1.0 if self.compares == "ratio" else max(abs(reading.value), abs(reading.placebo))


@dataclass(frozen=True)
class Reading:
    """One measurement of a signal and of its placebo, in the signal's unit."""

    value: float
    placebo: float = 0.0

    @property
    def difference(self) -> float:
        """value − placebo"""
        return self.value - self.placebo


@dataclass(frozen=True)
class Now:
    """What a probe may make its rows of."""

    step: int
    trusted: Pool
    """trusted examples, which `draw` gives out once each"""
    fresh: Examples | None
    """the batch that comes next, not yet trained on; None when the loop has ended"""
    spans: SpanCounter | None
    """spans of the rows trained on at the last looks, against trusted rows; None where examples are no token rows"""
    notes: Sequence[Any] = ()
    """the probe's own notes of the last looks, oldest first, as many as its `window`: what it mines takes more rows
    than one batch has"""


@dataclass(frozen=True)
class Asked:
    """Rows to run at a look, and whatever `read` will want to know about them."""

    inputs: Array | None
    """(n, …) as the model takes them; None for nothing to run: signals of weights alone"""
    about: Any = None


class Probe(ABC):
    """Rows to run at a look, and the signals read from them.

    A probe holds no state: what it needs of earlier looks it leaves as a note, so that one probe may serve two
    watches and a rollback takes the notes back too.
    """

    signals: tuple[Signal, ...]
    """in the order of the readings"""
    sites: tuple[str, ...] = ()
    """to record; the deepest of all probes decides how much of the model runs"""
    lenses: tuple[str, ...] = ()
    """those of the sites that are read out through the model's last norm and unembedding"""
    weights: tuple[str, ...] = ()
    """parameters, by the model's own names or patterns of them such as `*.embed.weight`"""
    output: bool = False
    """whether the model's output is read: if no probe of a pass does, it ends at the deepest site"""
    window: int = 0
    """looks whose notes come back, besides the first's"""
    against_first: bool = True
    """of a probe with notes, whether the first look's decides what later ones read; false where nothing is read from
    it, or only until there are notes of later looks. A run that goes on in another process has another first look"""
    counts_spans: bool = False
    """whether its rows are made of `Now.spans`"""
    takes_fresh: bool = False
    """whether its rows are made of `Now.fresh`: a replay without the rows trained on refuses it, instead of reading
    nothing"""
    name: ClassVar[str] = ""
    """what recipes call this kind of probe"""

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """All that decides the rows and the readings, as JSON values: a calibration holds for no others."""

    @abstractmethod
    def inputs(self, now: Now) -> Asked:
        """The rows to run now."""

    @abstractmethod
    def read(self, seen: Seen) -> Sequence[Reading]:
        """One reading for each signal."""

    def scores(self, seen: Seen) -> Mapping[str, tuple[Floats, Floats]]:
        """Of each signal whose detector is `betting`: anomaly scores of fresh training rows, and of as many trusted."""
        return {}

    def screen(self, note: Any) -> Screen | None:
        """Which examples an alarm makes suspect, from the newest `note`; None where this probe cannot say.

        Spans of token rows are counted by the watch itself, for all probes.
        """
        return None

    def note(self, seen: Seen) -> Any:
        """What later looks will want of this one: `seen.first` is the first look's (at that look its own), `seen.notes`
        are the last `window`'s. Called before `read`."""
        return None


def readings(*pairs: tuple[float, float] | float) -> tuple[Reading, ...]:
    """Readings from (value, placebo) pairs, or values whose placebo is 0."""
    return tuple(Reading(*map(float, pair)) if isinstance(pair, tuple) else Reading(float(pair)) for pair in pairs)


def per_row(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """The mean over all but the first axis."""
    made: NDArray[np.floating] = values.reshape(len(values), -1).mean(-1)
    return made
