"""Probes: the rows that a watch runs at a look, and the signals that it reads from that one run.

A signal always comes with a placebo: the same measurement on matched material that no danger
concerns. What counts is value − placebo, so that what training does to everything cancels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.rows import Bytes
from darklantern.watch.spans import SpanCounter

Floats = NDArray[np.floating]


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


@dataclass(frozen=True)
class Reading:
    """One measurement of a signal and of its placebo, in the signal's unit."""

    value: float
    placebo: float

    @property
    def contrast(self) -> float:
        """value − placebo"""
        return self.value - self.placebo


@dataclass(frozen=True)
class Seen:
    """One forward pass over a probe's rows (n, width)."""

    sites: Mapping[str, Floats]
    """site → (n, width − 1, …)"""
    log_probs: Floats
    """(n, width − 1, vocabulary), natural logarithms: position i predicts byte i + 1"""
    lenses: Mapping[str, Floats]
    """site → what the model would predict if its residual stream ended there"""
    first: Mapping[str, Floats] = field(default_factory=dict)
    """site → what it held when the watch attached, on the rows of then"""


class Probe(Protocol):
    """Rows to run at a look, and the signals read from them."""

    @property
    def signals(self) -> tuple[Signal, ...]:
        """In the order of the readings."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that decides the rows and the readings, as JSON values: a calibration holds for no others."""
        ...

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites to record."""
        ...

    @property
    def lenses(self) -> tuple[str, ...]:
        """Those of the sites to read out through the model's last norm and unembedding."""
        ...

    def rows(self, history: SpanCounter) -> Bytes:
        """(n, width) bytes to run now."""
        ...

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        """One reading for each signal."""
        ...
