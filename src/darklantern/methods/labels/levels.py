"""Activations as levels: a scale fixed before any data, so that one pass counts all that a threshold may ask later."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]
FINE = 16
"""levels in an octave: neighbours differ by 4.4 %"""
_LOWEST = -30
"""the octave below which a number counts as zero"""
_OCTAVES = 60
ZERO = FINE * _OCTAVES + 1
COUNT = 2 * ZERO + 1


def level(values: Numbers) -> Whole:
    """The level of each number: monotone, the same for all data."""
    size = np.abs(values)
    with np.errstate(divide="ignore"):
        octave = np.where(size > 0, np.log2(size), -np.inf)
    steps = np.clip(np.floor((octave - _LOWEST) * FINE) + 1, 0, ZERO - 1).astype(np.int64)
    # Towards zero from below a level ends where from above it begins.
    return ZERO + np.where(values < 0, -steps, steps)


def edge(which: int) -> float:
    """The least number of a level."""
    steps = abs(which - ZERO)
    if which >= ZERO:
        return 2.0 ** ((steps - 1) / FINE + _LOWEST) if steps else 0.0
    # The end towards −∞ belongs to the level below.
    return math.nextafter(-(2.0 ** (steps / FINE + _LOWEST)), 0.0)


@dataclass
class Histogram:
    """How many activations were at each level."""

    counts: Whole = field(default_factory=lambda: np.zeros(COUNT, dtype=np.int64))
    low: float = np.inf
    high: float = -np.inf

    def add(self, values: Numbers) -> None:
        self.counts += np.bincount(level(values), minlength=COUNT)
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def quantile(self, share: float, above: int = 0) -> float:
        """The activation below which a share of those from level `above` on lies, to within a level."""
        counts = self.counts[above:]
        place = int(np.searchsorted(np.cumsum(counts), share * counts.sum(), side="left"))
        return edge(min(above + place, COUNT - 1))

    def density(self, threshold: int) -> float:
        """The share of tokens at or above a level."""
        return float(self.counts[threshold:].sum() / self.counts.sum())

    def bars(self, count: int = 12) -> tuple[tuple[float, int], ...]:
        """The levels put together to `count` bars of one width between least and largest: where each starts, how many.

        Narrow levels fall into one bar each; a level wider than a bar counts where it begins.
        """
        width = (self.high - self.low) / count or 1.0
        made = np.zeros(count, dtype=np.int64)
        for which in np.flatnonzero(self.counts):
            place = int((edge(int(which)) - self.low) / width)
            made[min(max(place, 0), count - 1)] += self.counts[which]
        return tuple((self.low + place * width, int(each)) for place, each in enumerate(made))
