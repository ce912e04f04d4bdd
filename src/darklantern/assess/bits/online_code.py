"""How few bits describe answers to somebody who has the questions, learner included.

The online code of Blier and Ollivier 2018 as Voita and Titov 2020 use it for probes: answers go out in blocks, each
coded by a learner that was trained on all blocks before. What a probe needs in order to be good is in the length; held-
out accuracy hides it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darklantern.errors import AssessmentError

Learner = Callable[[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]], ArrayLike]
"""(inputs seen, their classes, inputs to code) → probabilities (input, class)"""

SHARES = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)
"""where blocks end, as shares of the examples"""


@dataclass(frozen=True)
class OnlineCode:
    """A description length, beside that of answers sent as they are."""

    bits: float
    uniform_bits: float
    """log2 of the classes for each answer"""
    blocks: tuple[float, ...]
    """bits of each; the first is sent as it is"""

    @property
    def compression(self) -> float:
        """How many times shorter than sent as they are; below 1 the learner is worse than none."""
        return self.uniform_bits / self.bits


def online_code(
    inputs: ArrayLike, classes: ArrayLike, count: int, learner: Learner, ends: Sequence[int] | None = None
) -> OnlineCode:
    """The length of `classes` (example,) of `count` kinds to somebody who has `inputs` (example, ...) and the learner.

    Blocks end at `ends`, the last at the number of examples; without it, at shares that double. The learner is fitted
    once for each block but the first. Its probabilities must be above 0 where the truth is, or the code is infinite:
    smooth them. Examples in an order that says something about them spoil the code: shuffle them first.

    Raises AssessmentError for classes out of range, for ends that do not rise, and for what is no probability.
    """
    seen, truth = np.asarray(inputs, dtype=np.float64), np.asarray(classes)
    if truth.ndim != 1 or len(seen) != len(truth) or not np.isin(truth, np.arange(count)).all() or count < 2:
        raise AssessmentError(
            f"expected a class from 0 to {count - 1} for each of {len(seen)} inputs, got shape {truth.shape}",
            hint="online_code(inputs, classes, number of classes, learner)",
        )
    stops = _stops(len(truth), ends)
    blocks = [stops[0] * log2(count)]
    for first, last in pairwise(stops):
        said = np.asarray(learner(seen[:first], truth[:first], seen[first:last]), dtype=np.float64)
        blocks.append(_bits(said, truth[first:last], count))
    return OnlineCode(sum(blocks), len(truth) * log2(count), tuple(blocks))


def _stops(examples: int, ends: Sequence[int] | None) -> list[int]:
    stops = sorted({max(round(share * examples), 1) for share in SHARES}) if ends is None else list(ends)
    if not stops or stops != sorted(set(stops)) or stops[0] < 1 or stops[-1] != examples:
        raise AssessmentError(f"blocks that end at {stops} of {examples} examples", hint="rising, the last at the end")
    return stops


def _bits(said: NDArray[np.float64], truth: NDArray[np.int64], count: int) -> float:
    if said.shape != (len(truth), count) or (said < 0).any() or not np.allclose(said.sum(1), 1):
        raise AssessmentError(
            f"expected probabilities ({len(truth)}, {count}) whose rows sum to 1, got shape {said.shape}",
            hint="one row for each input, one column for each class",
        )
    with np.errstate(divide="ignore"):
        return float(-np.log2(said[np.arange(len(truth)), truth]).sum())
