"""What every way of finding a direction gives: a vector and an offset, which tell two classes apart."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Probe:
    """An activation belongs to the positive class where `activation @ vector + offset` is above 0."""

    vector: Floats
    """(dim,)"""
    offset: float


Fit = Callable[..., Probe]
"""One way of finding a direction: of activations (example, dim) or pairs (pair, 2, dim), labels, a seed and options."""
