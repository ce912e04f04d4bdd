"""How far a direction turns by itself: the same fit on other examples."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.directions.probes import Bools, Floats, Probe
from darklantern.methods.directions.scoring import Interval

Fit = Callable[[Floats, Bools], Probe]
FEWEST = 4
"""examples of a class that are fitted on: two for each half"""
_ENDS = (0.025, 0.975)
_ENDS_OF_HALVES = (0.005, 0.995)
"""Halves of one sample vary less than samples do, in many dimensions by a quarter. Of 99 % of them, 4 % of unchanged
directions lie below the lower end where two checkpoints share no noise at all, and fewer where they do."""


def turned(fit: Fit, before: Floats, after: Floats, labels: Bools, draws: int, rng: np.random.Generator) -> Interval:
    """The cosine between fits on both, whose rows are the same examples, with its 95 % interval.

    By the bootstrap, examples drawn anew class by class, the same for both; widened to hold the estimate. Source: Efron
    and Tibshirani 1993, An Introduction to the Bootstrap.
    """
    value = cosine(fit(before, labels), fit(after, labels))
    drawn = []
    for _ in range(draws):
        chosen = np.concatenate([rng.choice(each, len(each)) for each in _classes(labels)])
        drawn.append(cosine(fit(before[chosen], labels[chosen]), fit(after[chosen], labels[chosen])))
    low, high = (float(each) for each in np.quantile(drawn, _ENDS))
    return Interval(value, min(low, value), max(high, value))


def floor(fit: Fit, values: Floats, labels: Bools, draws: int, rng: np.random.Generator) -> Interval:
    """The cosine between fits on two draws of as many examples as these, none in both: median and central 95 %.

    Two halves share no example, but each has half as many. The formula of Spearman (1910) and Brown (1910) steps their
    cosine up to whole length: for a difference of means exactly what is to be expected, in any number of dimensions,
    where a bootstrap, whose draws share examples, says too much. For other fits it is an approximation. Raises
    MethodError where a half would have fewer than two examples of a class.
    """
    if (few := min(map(len, _classes(labels)))) < FEWEST:
        raise MethodError(
            f"the direction was fitted on {few} examples of a class, and two halves take {FEWEST}",
            hint="find it on more examples, so that there is a noise to hold its change against",
        )
    drawn = [stepped_up(_of_halves(fit, values, labels, rng)) for _ in range(draws)]
    low, high = (float(each) for each in np.quantile(drawn, _ENDS_OF_HALVES))
    return Interval(float(np.median(drawn)), low, high)


def between(one: Interval, other: Interval) -> Interval:
    """What the cosine of two fits is to be expected to be where each has this with another of its own kind.

    Noise of each shortens the cosine by the root of its own, so theirs is the geometric mean (Spearman 1904, The Proof
    and Measurement of Association between Two Things); the ends likewise, as if both were low at once. Where one has
    none, the lower.
    """
    return Interval(*(math.sqrt(a * b) if min(a, b) > 0 else min(a, b) for a, b in zip(one, other, strict=True)))


def stepped_up(half: float) -> float:
    """The cosine that fits on twice as many examples would have; where there is none, none."""
    return 2 * half / (1 + half) if half > 0 else half


def cosine(one: Probe, two: Probe) -> float:
    made = one.vector @ two.vector / (np.linalg.norm(one.vector) * np.linalg.norm(two.vector))
    return float(np.clip(made, -1, 1))


def _of_halves(fit: Fit, values: Floats, labels: Bools, rng: np.random.Generator) -> float:
    first = np.zeros(len(labels), dtype=bool)
    for each in _classes(labels):
        first[rng.permutation(each)[: len(each) // 2]] = True
    return cosine(fit(values[first], labels[first]), fit(values[~first], labels[~first]))


def _classes(labels: Bools) -> tuple[NDArray[np.intp], ...]:
    return tuple(np.flatnonzero(labels == kind) for kind in (True, False))
