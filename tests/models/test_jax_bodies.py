"""Ports in bodies of loops and branches that no part is named in: of each iteration, and of what may not run."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax

from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits

LAYERS = 3


def weights() -> tuple[Array, Array]:
    numbers = np.random.default_rng(0)
    return (
        jnp.asarray(numbers.normal(size=(LAYERS, 4, 8)), jnp.float32),
        jnp.asarray(numbers.normal(size=(LAYERS, 8, 4)), jnp.float32),
    )


def mlp(up: Array, down: Array, x: Array) -> Array:
    return jnp.tanh(x @ up) @ down


def test_layers_that_nobody_named_are_layers() -> None:
    def model(weights: Any, x: Array) -> Array:
        return lax.scan(lambda x, layer: (x + mlp(*layer, x), None), x, weights)[0]

    (ups, downs), x = weights(), jnp.ones((2, 4))
    opened = models.open(model, weights=(ups, downs), example=x)
    recording = opened.record(x, "layers.*:post")
    assert list(recording) == [f"layers.{number}:post" for number in range(LAYERS)]
    stream, without = x, x
    for number in range(LAYERS):
        post = jnp.tanh(stream @ ups[number])
        np.testing.assert_allclose(recording[f"layers.{number}:post"].array, post, rtol=1e-5, atol=1e-6)
        stream = stream + post @ downs[number]
        without = without + (0 if number == 1 else mlp(ups[number], downs[number], without))
    np.testing.assert_allclose(opened.run(x, {"layers.1:post": edits.zero()}), without, rtol=1e-5, atol=1e-5)


def test_a_loop_over_the_same_weights_calls_again() -> None:
    def model(weights: Any, x: Array) -> Array:
        return lax.scan(lambda x, _: (mlp(weights[0][0], weights[1][0], x), None), x, None, length=LAYERS)[0]

    x = jnp.ones((2, 4))
    opened = models.open(model, weights=weights(), example=x)
    assert opened.record(x, "#*:post")["#*:post"].shape == (LAYERS, 2, 8)
    with pytest.raises(SiteError, match="3 times"):
        opened.record(x, ":post")


def test_a_branch_that_is_not_taken_has_nothing_to_record() -> None:
    def model(weights: Any, x: Array) -> Array:
        return lax.cond(x.sum() > 0, lambda x: mlp(weights[0][0], weights[1][0], x), lambda x: x, x)

    x = jnp.ones((2, 4))
    opened = models.open(model, weights=weights(), example=x)
    np.testing.assert_allclose(opened.record(x, ":post")[":post"].array, jnp.tanh(x @ weights()[0][0]), rtol=1e-5)
    with pytest.raises(SiteError, match="never reached :post"):
        opened.record(-x, ":post")
