"""Information of joint distributions that are known exactly. For tests of what is estimated, and for small designs."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darklantern.errors import AssessmentError


def entropy_bits(probabilities: ArrayLike) -> float:
    """Shannon's entropy of a distribution, whatever its shape. Raises AssessmentError for what is none."""
    found = _distribution(probabilities)
    positive = found[found > 0]
    return float(-(positive * np.log2(positive)).sum()) + 0.0  # no negative zero


def information_bits(joint: ArrayLike) -> float:
    """I(X; Y) of a joint distribution (x, y). Raises AssessmentError for what is no joint distribution of two."""
    found = _of(joint, 2)
    return max(entropy_bits(found.sum(1)) + entropy_bits(found.sum(0)) - entropy_bits(found), 0.0)


def conditional_information_bits(joint: ArrayLike) -> float:
    """I(X; Y | Z) of a joint distribution (x, y, z). Raises AssessmentError for what is none of three."""
    found = _of(joint, 3)
    with_z = entropy_bits(found.sum(1)) + entropy_bits(found.sum(0))
    return max(with_z - entropy_bits(found) - entropy_bits(found.sum((0, 1))), 0.0)


def _of(joint: ArrayLike, axes: int) -> NDArray[np.float64]:
    found = _distribution(joint)
    if found.ndim != axes:
        raise AssessmentError(f"expected a joint distribution of {axes}, got shape {found.shape}", hint="one axis each")
    return found


def _distribution(given: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(given, dtype=np.float64)
    if not found.size or not (found >= 0).all() or not np.isclose(found.sum(), 1):
        raise AssessmentError(
            f"expected probabilities that sum to 1, got {found.size} with sum {found.sum():.3g}",
            hint="divide counts by their sum",
        )
    return found
