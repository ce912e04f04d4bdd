"""Several raters as one, and each rater as far as their record can be told from the others'."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from darklantern.errors import AssessmentError

ENOUGH: Final = 100
"""resolved forecasts, below which no rater is weighted by their record: power is too small (20: .19, 80: .50)"""


@dataclass(frozen=True)
class Shrunk:
    """A rater's mean score, drawn towards all raters' as far as chance could have made it differ."""

    own: float
    pooled: float
    """what all raters' is"""
    weight: float
    """of the own one: 0 where raters differ by no more than chance"""
    resolved: int

    @property
    def value(self) -> float:
        return self.weight * self.own + (1 - self.weight) * self.pooled


def pooled(probabilities: ArrayLike, weights: Sequence[float] | None = None) -> float:
    """One probability for several raters': the mean of their log-odds (Satopää and others 2014), without extremising.

    Raises AssessmentError for none, and for 0 or 1, whose odds are no number.
    """
    given = np.asarray(probabilities, dtype=np.float64)
    if given.ndim != 1 or not given.size or not ((given > 0) & (given < 1)).all():
        raise AssessmentError(
            f"expected probabilities between 0 and 1, got {given.tolist()}", hint="nobody is sure: .01 and .99 at most"
        )
    odds = np.average(np.log(given / (1 - given)), weights=weights)
    return float(1 / (1 + np.exp(-odds)))


def shrunk(scores: Mapping[str, Sequence[float]]) -> dict[str, Shrunk]:
    """Each rater's mean of scores, one for each resolved forecast, drawn towards the mean of all.

    A random-effects model by DerSimonian and Laird 1986: what raters differ by beyond chance, against the chance of
    each one's own mean. Raises AssessmentError for a rater without two scores.
    """
    if any(len(each) < 2 for each in scores.values()) or not scores:
        raise AssessmentError("a rater has fewer than two resolved forecasts", hint="leave them out until they have")
    means = np.array([np.mean(each) for each in scores.values()])
    errors = np.array([np.var(each, ddof=1) / len(each) for each in scores.values()])
    errors = np.maximum(errors, 1e-12)  # somebody who always scores the same is not therefore sure
    between = _between(means, errors)
    weights = 1 / (errors + between)
    middle = float((weights * means).sum() / weights.sum())
    return {
        name: Shrunk(float(mean), middle, float(between / (between + error)), len(scores[name]))
        for name, mean, error in zip(scores, means, errors, strict=True)
    }


def _between(means: np.ndarray, errors: np.ndarray) -> float:
    """The variance between raters that chance does not explain; 0 where it explains all."""
    weights = 1 / errors
    middle = (weights * means).sum() / weights.sum()
    beyond = (weights * (means - middle) ** 2).sum() - (len(means) - 1)
    scale = weights.sum() - (weights**2).sum() / weights.sum()
    return float(max(beyond / scale, 0.0)) if scale > 0 else 0.0


def rater_weights(resolved: Mapping[str, int], skill: Mapping[str, float]) -> dict[str, float]:
    """Weights of raters that sum to 1: equal, unless every one of them has a record long enough to be told by it.

    Then in proportion to what skill over the base rate each has, negative counting as none; equal where nobody has any.
    """
    if not resolved:
        raise AssessmentError("no rater to weight", hint="at least one")
    told = {name: max(skill.get(name, 0.0), 0.0) for name in resolved}
    total = sum(told.values())
    if min(resolved.values()) < ENOUGH or not total:
        return dict.fromkeys(resolved, 1 / len(resolved))
    return {name: each / total for name, each in told.items()}
