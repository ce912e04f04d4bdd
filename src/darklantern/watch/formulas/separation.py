"""How far apart two groups of scores lie, in their own spread."""

from typing import Any

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.formulas.features import features


def d_prime(positive: Any, negative: Any) -> float:
    """d′ = (μ₊ − μ₋) / √((σ₊² + σ₋²)/2), with unbiased variances; scores are flat arrays.

    Macmillan and Creelman, "Detection theory" (2005). Raises WatchError for groups of fewer than two, and when
    neither group varies at all.
    """
    high, low = (features(each, "scores").ravel() for each in (positive, negative))
    spread = float(np.sqrt((high.var(ddof=1) + low.var(ddof=1)) / 2))
    if not spread > 0:
        raise WatchError(
            f"expected scores that vary within a group, got {len(high)} and {len(low)} scores of one value each",
            hint="the rows of a group may all be the same; give rows that differ",
        )
    return float(high.mean() - low.mean()) / spread
