"""Ranks, and how well scores tell true edges from the rest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError

Numbers = NDArray[np.float64]


def ranks(numbers: Numbers) -> Numbers:
    """The place of each by size, from 1 for the smallest; equal ones share the mean of their places."""
    _, which, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: Numbers = ((last - counts + 1 + last) / 2)[which.reshape(numbers.shape)]
    return found


def auroc(scores: Numbers, true: Sequence[bool]) -> float:
    """The chance that a true one has a higher score than a false one, a tie counting half. Raises MethodError."""
    here = _both(scores, true)
    count = int(here.sum())
    return float((ranks(scores)[here].sum() - count * (count + 1) / 2) / (count * (len(here) - count)))


def average_precision(scores: Numbers, true: Sequence[bool]) -> float:
    """The mean, over the true ones, of the share of true ones among all that score as high. Raises MethodError."""
    here = _both(scores, true)
    as_high = [scores >= scores[place] for place in np.flatnonzero(here)]
    return float(np.mean([here[each].mean() for each in as_high]))


def _both(scores: Numbers, true: Sequence[bool]) -> NDArray[np.bool_]:
    here = np.array(true, dtype=bool)
    if not 0 < here.sum() < len(here) or here.shape != scores.shape:
        raise MethodError(
            f"{here.sum()} of {len(here)} are true, with {len(scores)} scores",
            hint="some must be true and some not, each with a score",
        )
    if not np.isfinite(scores).all():
        raise MethodError("some scores are no finite numbers", hint="was the metric finite on all data?")
    return here
