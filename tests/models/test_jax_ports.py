"""Ports in JAX against values made by hand: few heads, norms of other axes, blocks written in one piece."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import darklantern as dl

DIM = 8


def random(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def attention(weights: Any, x: jax.Array, heads: int, shared: int) -> tuple[jax.Array, jax.Array]:
    """What attention adds, and its z; `shared` are the heads of keys and values."""
    rows = (*x.shape[:2], -1, DIM // heads)
    q, k, v = ((x @ weights[name]).reshape(rows) for name in "qkv")
    q = q.reshape(*rows[:2], shared, heads // shared, DIM // heads)
    pattern = jax.nn.softmax(jnp.einsum("bqhgd,bkhd->bhgqk", q, k))
    z = jnp.einsum("bhgqk,bkhd->bqhgd", pattern, v).reshape(x.shape)
    return z @ weights["o"], z.reshape(rows)


def attention_weights(heads: int, shared: int) -> dict[str, jax.Array]:
    narrow = shared * DIM // heads
    return {
        "q": random(1, DIM, DIM),
        "k": random(2, DIM, narrow),
        "v": random(3, DIM, narrow),
        "o": random(4, DIM, DIM),
    }


@pytest.mark.parametrize(("examples", "positions"), [(2, 5), (1, 1)])
@pytest.mark.parametrize(("heads", "shared"), [(1, 1), (2, 2), (2, 1), (4, 2), (DIM, DIM), (DIM, 1)])
def test_each_heads_result_is_its_part_of_the_projection(
    examples: int, positions: int, heads: int, shared: int
) -> None:
    weights, x = attention_weights(heads, shared), random(0, examples, positions, DIM)
    model = dl.open(lambda w, x: x + attention(w, x, heads, shared)[0], weights=weights, example=x)
    _, z = attention(weights, x, heads, shared)
    by_head = jnp.einsum("bqhd,hde->bqhe", z, weights["o"].reshape(heads, DIM // heads, DIM))
    found = model.record(x, ":result")[":result"]
    assert found.axes == ("batch", "pos", "head", "dim")
    np.testing.assert_allclose(found.array, by_head, rtol=1e-4, atol=1e-4)
    without = model.run(x, {":result[head=-1]": dl.zero()})
    np.testing.assert_allclose(without, x + by_head[:, :, :-1].sum(2), rtol=1e-4, atol=1e-4)
