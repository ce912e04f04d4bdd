"""Rotary positions in jnp, for the twins whose framework has none."""

import jax.numpy as jnp
from jax import Array
from numpy.typing import DTypeLike


def rotation(positions: int, dim: int, base: float, dtype: DTypeLike) -> tuple[Array, Array]:
    """cos and sin of the angles, each `pos head dim/2` with one head."""
    frequencies = 1.0 / base ** (jnp.arange(0, dim, 2, dtype=dtype) / dim)
    angles = jnp.arange(positions, dtype=dtype)[:, None, None] * frequencies
    return jnp.cos(angles), jnp.sin(angles)


def turned(x: Array, cos: Array, sin: Array) -> Array:
    """Each pair (i, i + dim/2) of a head turned by its angle; `… pos head dim`."""
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate((first * cos - second * sin, second * cos + first * sin), axis=-1)
