"""Accuracy against coverage: what a reader gets right when it may abstain."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.asking.fits import Numbers


def curve(chances: Numbers, labels: Numbers) -> Numbers:
    """The accuracy of the most confident 1, 2, … answers, (example,); of equally confident ones their mean counts."""
    doubts = -np.abs(chances - 0.5).round(12)  # 0.3 and 0.7 are as sure, though not in floating point
    _, place, count = np.unique(doubts, return_inverse=True, return_counts=True)
    right = np.bincount(place, weights=(chances > 0.5) == (labels == 1))
    answers = np.arange(1, len(chances) + 1)
    found: Numbers = np.interp(answers, np.append(0, np.cumsum(count)), np.append(0, np.cumsum(right))) / answers
    return found


def at_coverages(chances: Numbers, labels: Numbers, shares: Sequence[float]) -> tuple[float, ...]:
    """The accuracy of the most confident share of the answers, for each of `shares`; of at least one."""
    found = curve(chances, labels)
    return tuple(float(found[max(round(share * len(found)), 1) - 1]) for share in shares)


def area(chances: Numbers, labels: Numbers) -> float:
    """The mean accuracy over all coverages, by confidence: 1 for a reader that is always right, ½ for a coin."""
    return float(curve(chances, labels).mean())


def answered(chances: Numbers, labels: Numbers, kept: NDArray[np.bool_]) -> tuple[float, float]:
    """Accuracy and coverage of the answers that are kept; the accuracy of none is 0."""
    hits = (chances > 0.5) == (labels == 1)
    return float(hits[kept].mean()) if kept.any() else 0.0, float(kept.mean())
