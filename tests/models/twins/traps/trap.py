"""What a trap is, and the few numbers that all of them are made of."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..twin import Built

DIM = 3
Numbers = np.ndarray[Any, Any]


class Trap(NamedTuple):
    """A model and what is inside it. Sites are spelled as in docs/sites.md, paths in the model's own words."""

    framework: str
    built: Built
    inputs: Any
    output: Numbers
    inside: dict[str, Numbers]
    absent: tuple[str, ...] = ()
    """sites that exist, but hold nothing in a run on these inputs: to ask for one is an error, not zeros"""


def matrix(seed: int, *shape: int) -> Array:
    """Fixed numbers, some above 0 and some below."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape or (DIM, DIM)), dtype=jnp.result_type(float))


def vectors(rows: int = 2) -> Array:
    """Inputs, `batch dim`."""
    return matrix(100, rows, DIM)


def numbers(array: Array) -> Numbers:
    return np.asarray(array)
