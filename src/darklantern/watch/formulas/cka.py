"""How alike two representations of the same examples are."""

from typing import Any

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.formulas.features import Floats, features


def linear_cka(one: Any, other: Any) -> float:
    """‖YᵀX‖² / (‖XᵀX‖·‖YᵀY‖) of centred features (n, …): 1 up to rotation and scale, 0 when unrelated.

    Kornblith et al., "Similarity of neural network representations revisited" (2019). Biased upwards when there are
    fewer examples than features, and equally so at every look. Costs n·d·min(n, d). Raises WatchError for different
    numbers of examples, for fewer than two, and for features that do not vary.
    """
    x, y = _centred(one), _centred(other)
    if len(x) != len(y) or len(x) <= max(x.shape[1], y.shape[1]):
        return gram_cka(x @ x.T, y @ y.T)
    return _ratio(float(((y.T @ x) ** 2).sum()), x.T @ x, y.T @ y)


def gram(values: Any) -> Floats:
    """XXᵀ of centred features (n, …): all that a later `gram_cka` needs of them, (n, n) whatever their width."""
    rows = _centred(values)
    made: Floats = rows @ rows.T
    return made


def gram_cka(one: Floats, other: Floats) -> float:
    """`linear_cka` of the features that two Gram matrices (n, n) were made from."""
    if one.shape != other.shape:
        raise WatchError(
            f"expected features of the same examples, got {len(one)} and {len(other)}",
            hint="both come from one set of rows, in one order",
        )
    return _ratio(float((one * other).sum()), one, other)


def _centred(values: Any) -> Floats:
    rows = features(values, "features")
    made: Floats = rows - rows.mean(0)
    return made


def _ratio(cross: float, one: Floats, other: Floats) -> float:
    sizes = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    if not sizes > 0:
        raise WatchError(
            "expected features that vary over the examples, got the same for all",
            hint="give examples that differ, or a site whose values do",
        )
    return cross / sizes
