"""Directions that tell two groups of features apart."""

from typing import Any

import numpy as np

from darklantern.watch.formulas.covariance import shrunk_covariance
from darklantern.watch.formulas.features import Floats, alike, features


def mean_difference(positive: Any, negative: Any) -> Floats:
    """μ₊ − μ₋, (d,). Raises WatchError for an empty group."""
    high, low = _groups(positive, negative, 1)
    made: Floats = high.mean(0) - low.mean(0)
    return made


def discriminant(positive: Any, negative: Any, shrinkage: float | None = None) -> Floats:
    """Fisher's Σ⁻¹(μ₊ − μ₋), (d,), with the shrunk covariance within the groups.

    Raises WatchError for groups of fewer than two, or which do not vary.
    """
    high, low = _groups(positive, negative, 2)
    within = np.concatenate([high - high.mean(0), low - low.mean(0)])
    return shrunk_covariance(within, shrinkage).solve((high.mean(0) - low.mean(0))[None])[0]


def cosine(one: Any, other: Any) -> float:
    """The cosine of the angle between two vectors; 0 when either is 0, which points nowhere."""
    a, b = (features(each, "a direction", least=1).ravel() for each in (one, other))
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0


def _groups(positive: Any, negative: Any, least: int) -> tuple[Floats, Floats]:
    high, low = features(positive, "positive examples", least), features(negative, "negative examples", least)
    alike(high, low, "two groups")
    return high, low
