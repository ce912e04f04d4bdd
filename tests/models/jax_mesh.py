"""A mesh of eight virtual devices, and what a case on it is."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

Case = Callable[[Mesh], None]


def devices(kind: AxisType) -> Mesh:
    """Two rows of four. Over `Auto` axes the compiler spreads values, over `Explicit` ones their types say how."""
    return jax.make_mesh((2, 4), ("data", "model"), axis_types=(kind, kind))


def close(found: Any, expected: Any) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(np.nan_to_num(expected, neginf=0)).max())
