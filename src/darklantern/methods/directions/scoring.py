"""How well scores tell two classes apart: the area under the ROC curve, its interval, and the share that is right."""

from typing import NamedTuple

import numpy as np

from darklantern.methods.directions.probes import Bools, Floats
from darklantern.methods.shares import Z95


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def auroc(scores: Floats, labels: Bools) -> float:
    """How often a positive example scores higher than a negative one; ties count half."""
    positive, negative = int(labels.sum()), int((~labels).sum())
    return float((ranks(scores)[labels].sum() - positive * (positive + 1) / 2) / (positive * negative))


def interval(scores: Floats, labels: Bools) -> Interval:
    """The AUROC with a 95 % interval: all that would not make this one surprising.

    Newcombe's (2006, method 5): each candidate is held against the spread that it would have itself, which falls
    towards 1. An interval by the spread that was seen, as DeLong's, is too narrow just there, and a point where no
    mistake was made.
    """
    value = auroc(scores, labels)
    counts = int(labels.sum()), int((~labels).sum())
    return Interval(value, 1 - _highest(1 - value, *counts), _highest(value, *counts))


def accuracy(scores: Floats, labels: Bools) -> float:
    """The share of examples on the right side of 0."""
    return float(((scores > 0) == labels).mean())


def ranks(scores: Floats) -> Floats:
    """The place of each in order, from 1; equals share theirs."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    made: Floats = (last - (count - 1) / 2)[place]
    return made


def _highest(value: float, positive: int, negative: int) -> float:
    """The highest AUROC that does not make `value` surprising; 1 minus it is the lowest of 1 minus that."""
    low, high = value, 1.0
    spread = (positive + negative) / 2 - 1
    for _ in range(60):
        tried = (low + high) / 2
        more = spread * ((1 - tried) / (2 - tried) + tried / (1 + tried))
        variance = tried * (1 - tried) * (1 + more) / (positive * negative)
        low, high = (tried, high) if tried - value <= Z95 * variance**0.5 else (low, tried)
    return low
