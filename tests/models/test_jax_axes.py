"""What axes are called in JAX: followed from the inputs on, and left unnamed where nobody can tell."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import darklantern as dl
from darklantern.errors import SiteError
from darklantern.models.on_jax.axes import BATCH, DATA, FEATURE, MIXED, Axes, through

DIM = 8
WEIGHTS = {
    "tokens": jax.random.normal(jax.random.key(0), (20, DIM)),
    "positions": jax.random.normal(jax.random.key(1), (30, DIM)),
    **{name: jax.random.normal(jax.random.key(2 + n), (DIM, DIM)) for n, name in enumerate("qkvo")},
}


def embedded(weights: Any, tokens: jax.Array, positions: Any) -> jax.Array:
    with dl.part("pos_embed"):
        found = dl.tag("out", weights["positions"][positions])
    return dl.tag("stream", weights["tokens"][tokens] + found)


def attending(weights: Any, tokens: jax.Array, mask: jax.Array) -> jax.Array:
    x = weights["tokens"][tokens]
    with dl.part("attn"):
        q, k, v = (jnp.reshape(x @ weights[name], (*tokens.shape, 2, DIM // 2)) for name in "qkv")
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k)
        scores = jnp.where(mask, scores, -1e9) if mask.dtype == bool else scores + mask
        z = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v)
        return dl.tag("out", x + z.reshape(x.shape) @ weights["o"])


def tokens(examples: int, positions: int) -> jax.Array:
    return jnp.arange(examples * positions).reshape(examples, positions) % 20


def axes(function: Callable[..., Any], inputs: Any, site: str) -> tuple[str, ...]:
    return dl.open(function, weights=WEIGHTS, example=inputs).record(inputs, site)[site].axes


def test_positions_of_one_axis_are_no_examples() -> None:
    inputs = tokens(2, 5), jnp.arange(5)
    model = dl.open(embedded, weights=WEIGHTS, example=inputs)
    assert model.record(inputs, "pos_embed:out")["pos_embed:out"].axes == ("pos", "dim")
    assert model.record(inputs, ":stream")[":stream"].axes == ("batch", "pos", "dim")
    with pytest.raises(SiteError, match="batch"):  # there are no examples to take the mean of
        model.run(inputs, {"pos_embed:out": dl.mean()})
    last = model.record(inputs, ":stream[pos=-1]")[":stream[pos=-1]"]
    np.testing.assert_allclose(last.array, WEIGHTS["tokens"][inputs[0][:, -1]] + WEIGHTS["positions"][4], rtol=1e-6)


def test_positions_for_each_example_keep_their_names() -> None:
    assert axes(embedded, (tokens(2, 5), jnp.arange(5)[None].repeat(2, 0)), "pos_embed:out") == ("batch", "pos", "dim")
    assert axes(embedded, (tokens(2, 5), jnp.arange(5)[None]), "pos_embed:out") == ("batch", "pos", "dim")


def test_as_many_positions_as_examples_are_told_where_they_meet_what_is_known() -> None:
    inputs = tokens(5, 5), jnp.arange(5)
    assert not {"batch", "pos"} & {*axes(embedded, inputs, "pos_embed:out")}
    assert axes(embedded, inputs, ":stream") == ("batch", "pos", "dim")


@pytest.mark.parametrize("examples", [1, 2, 5])
@pytest.mark.parametrize("before", [(), (1, 1)])
@pytest.mark.parametrize("dtype", [bool, float])
def test_a_mask_for_all_examples_names_no_axis_of_the_stream(
    examples: int, before: tuple[int, ...], dtype: Any
) -> None:
    allowed = jnp.tri(5, dtype=bool).reshape(*before, 5, 5)
    mask = allowed if dtype is bool else jnp.where(allowed, 0.0, -1e9)

    def turned(weights: Any, mask: jax.Array, tokens: jax.Array) -> jax.Array:
        return attending(weights, tokens, mask)

    for function, inputs in ((attending, (tokens(examples, 5), mask)), (turned, (mask, tokens(examples, 5)))):
        if examples != 5:
            assert axes(function, inputs, "attn:out") == ("batch", "pos", "dim")
        assert axes(function, inputs, "attn:pattern") == ("batch", "head", "pos", "key")


def test_another_text_of_as_many_examples_has_positions_of_its_own() -> None:
    def both(weights: Any, one: jax.Array, other: jax.Array) -> jax.Array:
        return weights["tokens"][one].sum() + dl.tag("other", weights["tokens"][other])

    assert axes(both, (tokens(2, 5), tokens(2, 7)), ":other") == ("batch", "pos", "dim")
    for positions in (5, 3):  # of three by three it may be a mask
        assert not {"batch", "pos"} & {*axes(both, (tokens(3, positions), tokens(3, 3)), ":other")}


def test_lengths_for_each_example_count_examples() -> None:
    def pooled(weights: Any, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
        last = weights["tokens"][tokens][jnp.arange(len(tokens)), lengths - 1]
        return dl.tag("last", last * dl.tag("lengths", lengths)[:, None])

    inputs = tokens(3, 5), jnp.array([2, 3, 5])
    assert axes(pooled, inputs, ":lengths") == ("batch",)
    assert axes(pooled, inputs, ":last") == ("batch", "dim")


@pytest.mark.parametrize("count", [jnp.arange, np.arange])
def test_counted_positions_that_features_are_looked_up_by_are_positions(count: Any) -> None:
    def counting(weights: Any, tokens: jax.Array) -> jax.Array:
        return embedded(weights, tokens, count(tokens.shape[1]))

    assert axes(counting, tokens(2, 5), "pos_embed:out") == ("pos", "dim")
    assert axes(counting, tokens(2, 5), ":stream") == ("batch", "pos", "dim")


def test_a_count_as_long_as_the_text_is_no_position_where_features_meet_it() -> None:
    def turned(weights: Any, x: jax.Array) -> jax.Array:
        """A rotation's table: positions by half the features, and as many of these as positions."""
        angles = jnp.arange(4)[:, None] * jnp.arange(4)
        return dl.tag("turned", (x @ weights["q"]).reshape(2, 4, 2, 4) * jnp.cos(angles)[:, None])

    assert axes(turned, jnp.ones((2, 4, DIM)), ":turned") == ("batch", "pos", "head", "dim")


def one_of_each(*kinds: str) -> Axes:
    return tuple(((what, size),) for what, size in zip(kinds, (2, 3, 4), strict=False))


@pytest.mark.parametrize(
    ("equation", "kinds", "made"),
    [
        ("bpf,pm->bfm", (BATCH, DATA, FEATURE), (BATCH, FEATURE, MIXED)),  # positions are mixed, feature by feature
        ("bfp,pm->bfm", (BATCH, FEATURE, DATA), (BATCH, FEATURE, MIXED)),
        ("bfp,pm->bfm", (BATCH, FEATURE, MIXED), (BATCH, FEATURE, MIXED)),  # and again
        ("bpf,fm->bpm", (BATCH, DATA, MIXED), (BATCH, DATA, FEATURE)),  # nothing beside it is a feature
        ("bpf,fm->bpm", (BATCH, DATA, FEATURE), (BATCH, DATA, FEATURE)),
        ("bp,pm->bm", (BATCH, DATA), (BATCH, FEATURE)),  # an example is a row of numbers, and none is apart
    ],
)
def test_a_mix_of_positions_is_neither_positions_nor_features(equation: str, kinds: Any, made: Any) -> None:
    summed = equation.index(equation[equation.index(",") + 1])
    left, right = jnp.ones((2, 3, 4)[: len(kinds)]), jnp.ones(((2, 3, 4)[summed], 5))
    contract = (((summed,), (0,)), ((), ()))
    (product,) = jax.make_jaxpr(lambda left, right: jax.lax.dot_general(left, right, contract))(left, right).eqns
    (found,) = through(product, [one_of_each(*kinds), (((FEATURE, right.shape[0]),), ((FEATURE, 5),))], False, {})
    assert [what for ((what, _),) in found] == list(made)


def test_what_passes_a_mix_of_positions_is_named_again_where_it_joins_the_stream() -> None:
    def mixer(weights: Any, x: jax.Array) -> jax.Array:
        mixed = jax.nn.gelu(jnp.swapaxes(x, 1, 2) @ weights["up"] + weights["bias"]) @ weights["down"]
        return dl.tag("stream", x + dl.tag("mixed", jnp.swapaxes(mixed, 1, 2)))

    x, weights = jnp.ones((2, 5, DIM)), {"up": jnp.ones((5, 7)), "bias": jnp.ones(7), "down": jnp.ones((7, 5))}
    found = dl.open(mixer, weights=weights, example=x).record(x, ":{mixed,stream}")
    assert found[":stream"].axes == ("batch", "pos", "dim")
    assert "pos" not in found[":mixed"].axes
