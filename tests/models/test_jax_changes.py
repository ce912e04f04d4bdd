"""What an owner changes between two runs: followed, refused, or no concern of the run. And nothing is kept alive."""

import gc
import weakref
from dataclasses import dataclass
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

X = jnp.ones((1, 4))


def tagged(x: Array) -> Array:
    return dl.tag("a", x) * 1.0


# edits of one's own


class Strength:
    def __init__(self, by: float) -> None:
        self.by = by

    def method(self, value: Array) -> Array:
        return value * self.by

    def __call__(self, value: Array) -> Array:
        return value * self.by


def test_an_edit_reads_what_it_reads_as_that_is_at_the_run() -> None:
    model = dl.open(tagged, example=X)
    held, steer, array = [2.0], Strength(2.0), np.full(4, 2.0, np.float32)
    sae = nnx.Linear(4, 4, rngs=nnx.Rngs(0))
    edits = [lambda v: v * held[0], steer, steer.method, lambda v: v * array, sae]
    plans = [model.plan(":a", edits={":a": edit}) for edit in edits]
    edited = [model.edited({":a": edit}) for edit in edits]
    for _ in range(2):
        expected = [edit(X) for edit in edits]
        for edit, plan, other, true in zip(edits, plans, edited, expected, strict=True):
            np.testing.assert_allclose(model.run(X, {":a": edit}), true, rtol=1e-6)
            np.testing.assert_allclose(model.execute(plan, X).output, true, rtol=1e-6)
            np.testing.assert_allclose(other.run(X), true, rtol=1e-6)
        held[0], steer.by = 7.0, 7.0
        array[:] = 7.0
        sae.kernel[...] = jnp.eye(4) * 7


def test_edits_that_are_equal_and_compute_different_things_do_not_share() -> None:
    @dataclass(frozen=True)
    class By:
        number: float

        def __call__(self, value: Array) -> Array:
            return jnp.copysign(value, self.number)

    model = dl.open(tagged, example=X)
    assert model.run(X, {":a": By(0.0)})[0, 0] == 1
    assert model.run(X, {":a": By(-0.0)})[0, 0] == -1


def layered(weights: Array, x: Array) -> Array:
    def step(x: Array, w: Array) -> tuple[Array, None]:
        with dl.part("layers.*"):
            return x + dl.tag("d", x @ w), None

    return jax.lax.scan(step, x, weights)[0]


LAYERS = jnp.stack([jnp.zeros((4, 4)), jnp.eye(4), jnp.eye(4)])


def test_an_edit_of_ones_own_runs_at_its_layer_alone() -> None:
    seen: list[float] = []

    def looked(value: Array) -> Array:
        jax.debug.callback(lambda each: seen.append(float(each.sum())), value)
        return value * 0

    model = dl.open(layered, weights=LAYERS, example=X)
    found = model.run(X, {"layers.1:d": looked})
    jax.effects_barrier()
    assert seen == [4.0]
    np.testing.assert_array_equal(found, 2 * X)


@pytest.mark.parametrize(
    "edit", [dl.add(jnp.ones(4), norm=0.5), lambda v: v / jnp.linalg.norm(v), lambda v: jnp.sqrt(jnp.abs(v))]
)
def test_an_edit_without_a_derivative_at_another_layer_leaves_gradients_as_they_are(edit: Any) -> None:
    model = dl.open(layered, weights=LAYERS, example=X)
    edits = {"layers.1:d": edit}
    found = model.gradient(X, jnp.sum, ":in", edits=edits).gradients[":in"].array
    moved = [
        (model.run(X + h, edits).sum() - model.run(X - h, edits).sum()) / 2e-2
        for h in (1e-2 * jnp.eye(4)[n] for n in range(4))
    ]
    np.testing.assert_allclose(found[0], moved, rtol=2e-2)
    forward = model.jvp(X, {":in": jnp.ones(4)}, "layers.2:d", edits=edits)
    assert np.isfinite(forward["layers.2:d"].array).all()


def test_an_error_names_the_site_of_this_run_not_of_one_like_it() -> None:
    model = dl.open(layered, weights=LAYERS, example=X)
    for layer in (0, 2):
        with pytest.raises(SiteError, match=f"layers.{layer}:d"):
            model.run(X, {f"layers.{layer}:d": lambda v: v[:, :2]})


def test_edits_of_a_model_reach_the_parts_of_every_trace() -> None:
    def model(w: Array, x: Array) -> Array:
        for number in range(x.shape[1]):
            with dl.part(f"step{number}"):
                x = dl.tag("h", x * w)
        return x

    short, long = jnp.ones((1, 2)), jnp.ones((1, 4))
    opened = dl.open(model, weights=jnp.float32(1), example=short)
    doubled = opened.edited({"step*:h": dl.scale(2.0)})
    np.testing.assert_array_equal(doubled.run(long), 16 * long)
    np.testing.assert_array_equal(doubled.run(short), 4 * short)


# models


class Net(eqx.Module):
    linear: eqx.nn.Linear
    drop: eqx.nn.Dropout
    act: Any
    gain: float

    def __call__(self, x: Array) -> Array:
        return self.gain * self.drop(self.act(jax.vmap(self.linear)(x)), key=jax.random.key(1))


NET = Net(eqx.nn.Linear(4, 4, key=jax.random.key(0)), eqx.nn.Dropout(0.5), jax.nn.relu, 2.0)


@pytest.mark.parametrize(
    "other",
    [
        eqx.nn.inference_mode(NET),
        eqx.tree_at(lambda net: net.gain, NET, 5.0),
        eqx.tree_at(lambda net: net.gain, NET, 2),
        eqx.tree_at(lambda net: net.act, NET, jnp.tanh),
    ],
)
def test_a_module_that_differs_in_more_than_weights_is_no_weights(other: Net) -> None:
    model = dl.open(NET, example=X)
    weighted = eqx.tree_at(lambda net: net.linear.weight, NET, jnp.eye(4))
    np.testing.assert_allclose(model.with_weights(weighted).run(X), weighted(X), rtol=1e-6)
    with pytest.raises(SiteError, match="differs from the opened one in more than its weights"):
        model.with_weights(other)


def test_what_open_takes_with_weights_takes() -> None:
    from flax import linen

    module = linen.Dense(3)
    variables = module.init(jax.random.key(0), X)
    for given in (variables, variables["params"]):
        model = dl.open(module, weights=given, example=X)
        for other in (variables, variables["params"]):
            doubled = jax.tree.map(lambda leaf: 2 * leaf, other)
            np.testing.assert_allclose(model.with_weights(doubled).run(X), 2 * module.apply(variables, X), rtol=1e-6)
    function = dl.open(lambda net, x: net.linear(x[0]), weights=NET, example=X)
    zeroed = eqx.tree_at(lambda net: net.linear.weight, NET, jnp.zeros((4, 4)))
    np.testing.assert_allclose(function.with_weights(zeroed).run(X), NET.linear.bias, rtol=1e-6)
    with pytest.raises(SiteError, match="a tree of arrays, got"):
        dl.open(lambda w, x: x * w["a"], weights={"a": jnp.ones(4)}, example=X).with_weights({"a": 2.0})


class Config:
    scale = 2.0


class Living(nnx.Module):
    def __init__(self) -> None:
        self.linear, self.drop = nnx.Linear(4, 4, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(1))
        self.k: Any = 2
        self.config = Config()

    def __call__(self, x: Array) -> Array:
        return self.drop(self.linear(x)) * self.k * self.config.scale


def test_an_nnx_module_is_followed_whatever_its_owner_changes() -> None:
    module = Living()
    model = dl.open(module, example=X)

    def compare() -> None:
        graph, state = nnx.split(module)  # so that the module's own run does not draw new numbers
        np.testing.assert_allclose(model.run(X), nnx.merge(graph, state)(X), rtol=1e-6)

    compare()
    module.config.scale = 5.0
    compare()
    module.k = 3.0
    compare()
    module.eval()
    compare()
    module.linear.kernel[...] = jnp.eye(4)
    compare()
    module.linear = nnx.Linear(4, 4, rngs=nnx.Rngs(9))
    compare()
    other = Living()
    other.eval()
    other.config, other.k = module.config, 3.0
    followed = model.with_weights(other)
    np.testing.assert_allclose(followed.run(X), other(X), rtol=1e-6)
    other.linear.kernel[...] = jnp.eye(4)
    np.testing.assert_allclose(followed.run(X), other(X), rtol=1e-6)


def test_numbers_that_are_equal_and_compute_different_things_are_told_apart() -> None:
    model = dl.open(lambda x, by: jnp.copysign(dl.tag("a", x), by))
    assert model.run((X, 0.0))[0, 0] == 1
    assert model.run((X, -0.0))[0, 0] == -1


def test_a_function_is_opened_with_what_it_closes_over_as_that_is_at_the_run() -> None:
    held = {"w": jnp.ones(4)}
    model = dl.open(lambda x: dl.tag("a", x * held["w"]), example=X)
    np.testing.assert_array_equal(model.run(X), X)
    held["w"] = jnp.full(4, 3.0)
    np.testing.assert_array_equal(model.run(X), 3 * X)


def test_a_method_that_is_replaced_is_called_by_what_is_opened_afterwards() -> None:
    class Inner(eqx.Module):
        w: Array

        def __call__(self, x: Array) -> Array:
            return x * self.w

    class Outer(eqx.Module):
        inner: Inner

        def __call__(self, x: Array) -> Array:
            return self.inner(x)

    module = Outer(Inner(jnp.ones(4)))
    np.testing.assert_array_equal(dl.open(module).run(X), X)
    Inner.__call__ = lambda self, x: x * self.w * 10  # type: ignore[method-assign]
    np.testing.assert_array_equal(dl.open(module).run(X), 10 * X)


# memory


def alive(references: list[Any]) -> int:
    gc.collect()
    return sum(reference() is not None for reference in references)


def test_an_opened_nnx_model_keeps_no_old_weights() -> None:
    module = Living()
    model = dl.open(module, example=X)
    model.run(X)
    old = weakref.ref(module.linear.kernel.get_raw_value())
    module.linear.kernel[...] = module.linear.kernel[...] + 1
    assert not alive([old])


def test_what_an_edit_was_made_of_goes_with_it() -> None:
    model = dl.open(tagged, example=X)
    old = []
    for number in range(3):
        vector = jnp.full(4, float(number))
        old.append(weakref.ref(vector))
        model.run(X, {":a": dl.add(vector)})
        model.edited({":a": dl.add(vector)}).record(X, ":a")
        del vector
    assert not alive(old)


def test_an_empty_batch_is_recorded_as_one() -> None:
    model = dl.open(layered, weights=LAYERS, example=X)
    found = model.record(jnp.ones((0, 4)), "layers.*:d")
    assert found["layers.2:d"].array.shape == (0, 4)
