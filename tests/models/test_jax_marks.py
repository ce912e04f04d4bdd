"""Marks that JAX takes apart, runs in its own way, or that stand alone: right, or an error that says why."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import darklantern as dl
from darklantern.errors import SiteError

X = jnp.full((2, 4), 0.7)
WEIGHTS = jnp.stack([jnp.eye(4) * 0.5, jnp.eye(4) * 0.8])


def block(x: Array, w: Array) -> tuple[Array, None]:
    with dl.part("block"):
        return dl.tag("mid", jnp.tanh(x @ w)), None


def energy(weights: Array, x: Array) -> Array:
    return jax.lax.scan(block, x, weights)[0].sum()


def energy_of_two(weights: Array, x: Array) -> Array:
    @jax.checkpoint
    def inside(x: Array) -> Array:
        with dl.part("first"):
            x = dl.tag("mid", jnp.tanh(x @ weights[0]))
        return jnp.sin(x @ weights[1]).sum()

    return inside(x)


@pytest.mark.parametrize("function", [energy, energy_of_two])
def test_a_model_that_is_a_gradient_over_a_scan_or_remat_says_why_it_has_no_names(function: Any) -> None:
    def force(weights: Array, x: Array) -> Array:
        return -jax.grad(function, argnums=1)(weights, x)

    with pytest.raises(SiteError, match="the model takes a gradient of it inside itself"):
        dl.open(force, weights=WEIGHTS, example=X)


@pytest.mark.parametrize("function", [energy, energy_of_two])
@pytest.mark.parametrize("site", ["block:mid", "layers.0:mid", "layers.1:mid", "first:mid"])
def test_a_site_that_is_computed_again_where_it_has_no_name_is_refused(function: Any, site: str) -> None:
    def both(weights: Array, x: Array) -> Array:
        return function(weights, x) + jax.grad(function, argnums=1)(weights, x)

    model = dl.open(both, weights=WEIGHTS, example=X)
    np.testing.assert_allclose(model.run(X), both(WEIGHTS, X), rtol=1e-6)
    with pytest.raises(SiteError, match=r"gradient|no site"):
        model.run(X, {site: dl.zero()})


def test_a_gradient_inside_a_model_without_scans_is_followed() -> None:
    def force(weights: Array, x: Array, moved: Any = 0.0) -> Array:
        def inside(x: Array) -> Array:
            with dl.part("first"):
                x = dl.tag("mid", jnp.tanh(x @ weights[0])) + moved
            return jnp.sin(x @ weights[1]).sum()

        return jax.grad(inside)(x)

    model = dl.open(lambda weights, x: force(weights, x), weights=WEIGHTS, example=X)
    found = model.run(X, {"first:mid": dl.add(jnp.ones(4))})
    np.testing.assert_allclose(found, force(WEIGHTS, X, 1.0), rtol=1e-6)


def in_a_condition(x: Array) -> Array:
    return jax.lax.while_loop(lambda x: dl.tag("seen", x.sum()) < 30, lambda x: x + 1, x)


def in_a_solver(x: Array) -> Array:
    return jax.lax.custom_linear_solve(lambda v: dl.tag("seen", v * 2.0), x, lambda _, b: b / 2, symmetric=True)


def in_a_reduction(x: Array) -> Array:
    return jax.lax.reduce(x, jnp.float32(0), lambda a, b: dl.tag("seen", a + b * 1.5), (1,))


@pytest.mark.parametrize(
    ("function", "where"),
    [(in_a_condition, "condition of a while loop"), (in_a_solver, "custom_linear_solve"), (in_a_reduction, "reduce")],
)
def test_a_tag_in_what_an_operation_runs_in_its_own_way_is_an_error_that_names_it(function: Any, where: str) -> None:
    def model(x: Array) -> Array:
        return dl.tag("after", function(dl.tag("before", x)))

    opened = dl.open(model, example=X)
    assert {site.port for site in opened.sites()} == {"in", "before", "after", "out"}
    with pytest.raises(SiteError) as error:
        opened.record(X, ":seen")
    assert error.value.hint is not None
    assert where in error.value.hint


def test_a_part_in_what_cannot_be_reached_is_an_error_when_it_is_opened() -> None:
    def model(x: Array) -> Array:
        def condition(x: Array) -> Array:
            with dl.part("judge"):
                return dl.tag("seen", x.sum()) < 30

        return jax.lax.while_loop(condition, lambda x: x + 1, x)

    with pytest.raises(SiteError, match=r"the model ran judge, .* condition of a while loop"):
        dl.open(model, example=X)


def test_a_part_without_a_tag_has_the_ports_of_what_it_computes() -> None:
    def model(weights: Array, x: Array) -> Array:
        for number, w in enumerate(weights):
            with dl.part(f"layers.{number}"):
                x = jax.nn.gelu(x @ w)
        return x

    opened = dl.open(model, weights=WEIGHTS, example=X)
    assert {str(site) for site in opened.sites("layers.*:{pre,post}")} == {
        f"layers.{number}:{port}" for number in range(2) for port in ("pre", "post")
    }
    found = opened.record(X, "layers.1:pre")["layers.1:pre"].array
    np.testing.assert_allclose(found, jax.nn.gelu(X @ WEIGHTS[0]) @ WEIGHTS[1], rtol=1e-6)


def test_two_parts_share_a_jitted_function_that_tags_and_each_trace_keeps_its_own() -> None:
    @jax.jit
    def shared(x: Array) -> Array:
        return dl.tag("mid", jnp.tanh(x))

    def model(x: Array) -> Array:
        with dl.part("a"):
            x = shared(x)
        with dl.part("b"):
            return shared(x)

    for again in range(2):  # the second opening finds what JAX cached for the first
        opened = dl.open(model, example=X)
        found = opened.record(X, "a:mid", "b:mid")
        np.testing.assert_allclose(found["a:mid"].array, jnp.tanh(X), rtol=1e-6, err_msg=str(again))
        np.testing.assert_allclose(found["b:mid"].array, jnp.tanh(jnp.tanh(X)), rtol=1e-6)
