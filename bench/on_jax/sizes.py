"""How large every subject is, and the one attention that all of them compute."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

SEED = 20


class Sizes(NamedTuple):
    """Of a transformer."""

    layers: int = 12
    dim: int = 128
    heads: int = 4
    tokens: int = 128
    vocabulary: int = 256


USUAL = Sizes()
DEEP = Sizes(layers=64)
"""for what a recording in a scan costs in memory"""


def ids(sizes: Sizes = USUAL, seed: int = SEED) -> Array:
    """One example."""
    drawn = np.random.default_rng(seed).integers(0, sizes.vocabulary, (1, sizes.tokens))
    return jnp.asarray(drawn, jnp.int32)


def attend(q: Array, k: Array, v: Array, heads: int) -> Array:
    """Causal attention on `(…, position, dim)`."""
    q, k, v = (each.reshape(*each.shape[:-1], heads, -1) for each in (q, k, v))
    scores = jnp.einsum("...qhd,...khd->...hqk", q, k) / q.shape[-1] ** 0.5
    length = q.shape[-3]
    pattern = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e30), axis=-1)
    z = jnp.einsum("...hqk,...khd->...qhd", pattern, v)
    return z.reshape(*z.shape[:-2], -1)
