"""What is opened the wrong way is told how; what comes out of JAX's own functions stays what it is."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import Array

import darklantern as dl
from darklantern.errors import SiteError
from darklantern.models.recording import Recording

X = jnp.ones((3, 4))
KEY = jax.random.key(0)


class One(eqx.Module):
    """Of one example."""

    first: eqx.nn.Linear
    second: eqx.nn.Linear

    def __call__(self, x: Array) -> Array:
        return self.second(jax.nn.relu(self.first(x)))


ONE = One(eqx.nn.Linear(4, 4, key=KEY), eqx.nn.Linear(4, 2, key=KEY))
PARAMS, STATIC = eqx.partition(ONE, eqx.is_array)
NNX = nnx.Linear(4, 2, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("function", "weights"),
    [
        (jax.vmap(ONE), None),
        (eqx.filter_jit(ONE), None),
        (eqx.filter_vmap(ONE), None),
        (lambda x: jax.vmap(ONE)(x), None),
        ((lambda one: lambda x: jax.vmap(one)(x))(ONE), None),
        ((lambda static: lambda p, x: jax.vmap(eqx.combine(p, static))(x))(STATIC), PARAMS),
        ((lambda module: lambda x: module(x))(NNX), None),
    ],
    ids=["vmap", "filter_jit", "filter_vmap", "global", "closure", "partition", "nnx"],
)
def test_a_module_inside_a_function_is_told_how_it_is_opened(function: Any, weights: Any) -> None:
    with pytest.raises(SiteError, match="whose parts nobody can name") as error:
        dl.open(function, weights=weights)
    assert error.value.hint is not None
    assert "call=lambda module, x" in error.value.hint


def test_a_state_of_nnx_is_no_model() -> None:
    graph, state = nnx.split(NNX)
    with pytest.raises(SiteError, match="got a State of one, which has no parts"):
        dl.open(lambda state, x: nnx.merge(graph, state)(x), weights=state)


def test_a_model_of_one_example_that_is_given_several_says_what_to_do() -> None:
    with pytest.raises(Exception, match=r"dot|shape|einsum|size") as error:
        dl.open(ONE, example=X)
    assert any("call=lambda model, x: jax.vmap(model)(x)" in note for note in error.value.__notes__)


def test_a_list_of_numbers_is_no_array_and_what_jax_has_not_says_so() -> None:
    model = dl.open(ONE, call=lambda model, x: jax.vmap(model)(x), example=X)
    with pytest.raises(SiteError, match="got a list of numbers"):
        model.run([[1.0, 2.0, 3.0, 4.0]])
    with pytest.raises(AttributeError, match="for torch models"):
        model.generate(X)
    assert "One" in repr(model)


def test_recordings_and_values_come_out_of_jit_and_vmap_and_go_through_tree_map() -> None:
    model = dl.open(ONE, call=lambda model, x: jax.vmap(model)(x), example=X)
    true = model.record(X, "first:out", "second:out")
    found = jax.jit(lambda x: model.record(x, "first:out", "second:out"))(X)
    assert isinstance(found, Recording)
    assert list(found) == list(true)
    assert found["first:out"].axes == true["first:out"].axes
    np.testing.assert_allclose(found["first:out"].array, true["first:out"].array, rtol=1e-6)
    np.testing.assert_allclose(found.output, true.output, rtol=1e-6)
    doubled = jax.tree.map(lambda leaf: 2 * leaf, true)
    np.testing.assert_allclose(doubled["second:out"].array, 2 * true["second:out"].array, rtol=1e-6)
    several = jax.vmap(lambda shift: model.record(X, "second:out", edits={"first:out": dl.add(shift)})["second:out"])
    assert several(jnp.ones((5, 4))).array.shape == (5, 3, 2)
