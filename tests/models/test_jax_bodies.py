"""Ports in bodies of loops and branches that no part is named in: of each iteration, and of what may not run."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax

import darklantern as dl
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


def test_what_prints_or_calls_back_changes_no_site(capfd: pytest.CaptureFixture[str]) -> None:
    """Looked at on the way: each value of attention, norms, activations and the stream."""

    def model(watched: Any) -> Any:
        def run(w: Any, x: Any) -> Any:
            for number in range(2):
                with dl.part(f"layers.{number}"):
                    centred = watched(x - x.mean(-1, keepdims=True))
                    n = watched(centred * watched(jax.lax.rsqrt(watched((centred**2).mean(-1, keepdims=True) + 1e-5))))
                    q, k, v = (watched(n @ each) for each in w)
                    pattern = watched(jax.nn.softmax(watched(jnp.einsum("bqd,bkd->bqk", q, k))))
                    x = watched(x + watched(pattern @ v))
                    x = watched(x + watched(jax.nn.gelu(watched(x @ w[0]))) @ w[1])
            return x

        return run

    def printed(value: Any) -> Any:
        jax.debug.print("{}", value.sum())
        jax.debug.callback(lambda _: None, value)
        return value

    weights, x = jax.random.normal(jax.random.key(0), (3, 8, 8)), jax.random.normal(jax.random.key(1), (2, 5, 8))
    plain, looked = (dl.open(model(each), weights=weights, example=x) for each in (lambda value: value, printed))
    assert list(map(str, plain.sites())) == list(map(str, looked.sites()))
    site = "layers.1:pattern"
    np.testing.assert_allclose(looked.record(x, site)[site].array, plain.record(x, site)[site].array, rtol=1e-6)
    jax.effects_barrier()
    assert capfd.readouterr().out
