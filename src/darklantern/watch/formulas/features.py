"""What every formula asks of its arrays, said once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError

Floats = NDArray[np.floating]


def features(values: Any, what: str, least: int = 2) -> Floats:
    """`values` (n, …) as float64 rows (n, d), one for each example; a flat (n,) becomes (n, 1).

    Raises WatchError for fewer than `least` examples, for examples of nothing, and for what is not finite.
    """
    rows = np.asarray(values, dtype=np.float64)
    size = len(rows) if rows.ndim else 0
    if size < least or not rows.size:
        raise WatchError(
            f"expected at least {least} examples of {what}, got an array {rows.shape}",
            hint=f"give more {what}; the first axis counts the examples",
        )
    if not np.isfinite(rows).all():
        wrong = int((~np.isfinite(rows.reshape(size, -1)).all(-1)).sum())
        raise WatchError(
            f"expected finite numbers in {what}, got NaN or infinity in {wrong} of {size} examples",
            hint="the model's values are no longer finite there; training has probably diverged",
        )
    return rows.reshape(size, -1)


def alike(one: Floats, other: Floats, what: str) -> None:
    """Raises WatchError unless both have features of one size."""
    if one.shape[1] != other.shape[1]:
        raise WatchError(
            f"expected {what} with as many features each, got {one.shape[1]} and {other.shape[1]}",
            hint="take both from one site of one model",
        )
