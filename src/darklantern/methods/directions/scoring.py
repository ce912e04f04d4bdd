"""How well scores tell two classes apart: the area under the ROC curve, its interval, and the share that is right."""

from typing import NamedTuple

import numpy as np

from darklantern.methods.directions.probes import Bools, Floats

Z95 = 1.959963984540054
"""standard errors on each side of a 95 % interval"""


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
    """The AUROC with the 95 % interval of DeLong et al. 1988, cut at 0 and 1.

    Where the classes are parted without a mistake that interval is a point; then Newcombe's (2006, method 5), which
    looks at the spread that each candidate would have, and so says what few examples cannot exclude.
    """
    value = auroc(scores, labels)
    every, positive, negative = ranks(scores), int(labels.sum()), int((~labels).sum())
    above = (every[labels] - ranks(scores[labels])) / negative  # of the negative ones, how many each is above
    below = 1 - (every[~labels] - ranks(scores[~labels])) / positive
    variance = float(above.var(ddof=1) / positive + below.var(ddof=1) / negative)
    if variance > 0:
        half = Z95 * variance**0.5
        return Interval(value, max(value - half, 0.0), min(value + half, 1.0))
    bound = _newcombe(positive, negative)
    return Interval(value, bound, 1.0) if value > 0.5 else Interval(value, 0.0, 1 - bound)


def accuracy(scores: Floats, labels: Bools) -> float:
    """The share of examples on the right side of 0."""
    return float(((scores > 0) == labels).mean())


def ranks(scores: Floats) -> Floats:
    """The place of each in order, from 1; equals share theirs."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    made: Floats = (last - (count - 1) / 2)[place]
    return made


def _newcombe(positive: int, negative: int) -> float:
    """The lowest AUROC of which a sample without a mistake is not surprising."""
    low, high = 0.5, 1.0
    spread = (positive + negative) / 2 - 1
    for _ in range(60):
        tried = (low + high) / 2
        more = spread * ((1 - tried) / (2 - tried) + tried / (1 + tried))
        variance = tried * (1 - tried) * (1 + more) / (positive * negative)
        low, high = (tried, high) if 1 - tried > Z95 * variance**0.5 else (low, tried)
    return high
