"""How alike two representations of the same examples are."""

from typing import Any

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.formulas.features import features


def linear_cka(one: Any, other: Any) -> float:
    """‖YᵀX‖² / (‖XᵀX‖·‖YᵀY‖) of centred features (n, …): 1 up to rotation and scale, 0 when unrelated.

    Kornblith et al., "Similarity of neural network representations revisited" (2019). Biased upwards when there are
    fewer examples than features, and equally so at every look. Costs n·d·min(n, d). Raises WatchError for different
    numbers of examples, for fewer than two, and for features that do not vary.
    """
    x, y = features(one, "features"), features(other, "features")
    if len(x) != len(y):
        raise WatchError(
            f"expected features of the same examples, got {len(x)} and {len(y)}",
            hint="both come from one set of rows, in one order",
        )
    x, y = x - x.mean(0), y - y.mean(0)
    if len(x) <= max(x.shape[1], y.shape[1]):
        left, right = x @ x.T, y @ y.T
        cross = float((left * right).sum())
    else:
        cross = float(((y.T @ x) ** 2).sum())
        left, right = x.T @ x, y.T @ y
    sizes = float(np.linalg.norm(left) * np.linalg.norm(right))
    if not sizes > 0:
        raise WatchError(
            f"expected features that vary over the {len(x)} examples, got the same for all",
            hint="give examples that differ, or a site whose values do",
        )
    return cross / sizes
