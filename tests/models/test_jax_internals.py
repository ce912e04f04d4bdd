"""What JAX does not promise: what is missing is an error, and forms of other versions are read."""

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import darklantern as dl
from darklantern.errors import DarkLanternError
from darklantern.models.on_jax import axes, internals

ROOT = Path(__file__).parent.parent.parent


def equation(name: str, **params: Any) -> Any:
    """An equation as another version of JAX may have it."""
    return SimpleNamespace(primitive=SimpleNamespace(name=name), params=params, invars=[], outvars=[])


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("transpose", internals.permutation),
        ("squeeze", internals.squeezed_axes),
        ("broadcast_in_dim", internals.spread_axes),
        ("reduce_sum", internals.reduced_axes),
        ("dot_general", internals.contraction),
        ("conv_general_dilated", internals.convolution),
        ("gather", internals.gathered),
        ("integer_pow", internals.power),
        ("scan", internals.scan),
        ("while", internals.while_loop),
        ("cond", internals.inner),
        ("shard_map", internals.shards),
    ],
)
def test_a_parameter_that_is_not_there_is_an_error_that_says_of_what(name: str, read: Callable[[Any], Any]) -> None:
    with pytest.raises(DarkLanternError, match=f"of {name}, got renamed") as caught:
        read(equation(name, renamed=()))
    (supported,) = [
        each.removeprefix("jax>=")
        for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["jax"]
    ]
    assert f"from {supported} on" in caught.value.hint and jax.__version__ in caught.value.hint


def test_axes_are_not_unknown_in_silence_where_a_parameter_is_missing() -> None:
    known = (((axes.BATCH, 2),), ((axes.FEATURE, 3),))
    with pytest.raises(DarkLanternError, match="'permutation' of transpose"):
        axes.through(equation("transpose"), [known], False, {})


def test_a_scan_that_names_its_operands_in_a_tree_is_read() -> None:
    # JAX 0.12 counts constants and what is carried in a tree, `ft_in`; no JAX that is tested with here has that.
    tree = SimpleNamespace(unpack=lambda: (["constant"] * 3, ["carried"] * 2, ["sliced"]))
    found = internals.scan(equation("scan", ft_in=tree, length=7, reverse=True, unroll=1))
    assert (found.consts, found.carry, found.length, found.reverse, found.unroll) == (3, 2, 7, True, 1)


@pytest.fixture
def remat3() -> Iterator[None]:
    """`jax.checkpoint` of the kind to come."""
    before = getattr(jax.config, "jax_remat3", None)
    if before is None:
        pytest.skip("this JAX has no jax_remat3; the newest has")
    jax.config.update("jax_remat3", True)
    yield
    jax.config.update("jax_remat3", before)


@pytest.mark.usefixtures("remat3")
def test_a_site_inside_the_remat_to_come_is_read_edited_and_differentiated() -> None:
    @jax.checkpoint
    def inner(w: jax.Array, x: jax.Array) -> jax.Array:
        with dl.part("inner"):
            return jnp.sin(dl.tag("mid", x @ w)) @ w.T

    w, x = jax.random.normal(jax.random.key(0), (4, 3)), jax.random.normal(jax.random.key(1), (2, 4))
    assert "call_hi_primitive" in {eqn.primitive.name for eqn in jax.make_jaxpr(inner)(w, x).eqns}
    model = dl.open(lambda w, x: inner(w, 2 * x) + 1, weights=w, example=x)
    mid = 2 * x @ w
    np.testing.assert_allclose(model.record(x, "inner:mid")["inner:mid"].array, mid, rtol=1e-5)
    np.testing.assert_allclose(model.run(x, {"inner:mid": dl.scale(3.0)}), jnp.sin(3 * mid) @ w.T + 1, rtol=1e-4)
    found = model.gradient(x, jnp.sum, "inner:mid").gradients["inner:mid"].array
    np.testing.assert_allclose(found, jnp.cos(mid) * w.sum(0), rtol=1e-4)
    tripled = jax.grad(lambda x: model.run(x, {"inner:mid": dl.scale(3.0)}).sum())(x)
    np.testing.assert_allclose(tripled, 6 * (jnp.cos(3 * mid) * w.sum(0)) @ w.T, rtol=1e-4)
