"""How well a score tells two groups apart."""

from typing import Any

import numpy as np

from darklantern.watch.formulas.features import features


def auroc(positive: Any, negative: Any) -> float:
    """P(a positive's score > a negative's) + ½·P(they are equal): 1 tells all apart, 0.5 none, 0 all the wrong way.

    Scores are flat arrays. Raises WatchError for an empty group or scores that are not finite.
    """
    high = features(positive, "positive scores", least=1).ravel()
    low = np.sort(features(negative, "negative scores", least=1).ravel())
    below = np.searchsorted(low, high, "left")
    upto = np.searchsorted(low, high, "right")
    return float((below + upto).mean() / (2 * len(low)))
