"""Values and recordings of JAX's arrays: what torch's do, by the same names; and the way from one to the other."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import Recording, Value, parse
from darklantern.models.shim import convert, framework_of

AXES = ("batch", "pos", "dim")
OUT, PATTERN = "layers.1:out", "layers.1.attn:pattern"
TOKENS = [["the", "cat", "sat", "down"], ["a", "dog"]]
FRAMEWORKS = ("torch", "jax", "numpy")
on_each = pytest.mark.parametrize("framework", FRAMEWORKS)

draw = np.random.default_rng(0)
STREAMS = [draw.normal(size=(2, 4, 6)).astype(np.float32) for _ in range(3)]
WEIGHTS = draw.uniform(size=(2, 3, 4, 4)).astype(np.float32)


def recording(framework: str, tokens: Any = TOKENS) -> Recording:
    rows = [(parse(f"layers.{n}:out"), convert(each, framework), AXES) for n, each in enumerate(STREAMS)]
    rows.append((parse(PATTERN), convert(WEIGHTS, framework), ("batch", "head", "pos", "key")))
    return Recording(rows, "returned", tokens)


def equal(found: Value, true: NDArray[Any], framework: str) -> None:
    assert framework_of(found.array) == framework
    assert found.shape == true.shape
    np.testing.assert_allclose(np.asarray(found), true, rtol=1e-5, atol=1e-6)


@on_each
def test_parts_are_what_plain_indexing_says(framework: str) -> None:
    found, plain = recording(framework)[OUT], STREAMS[1]
    equal(found.at(batch=1), plain[1], framework)
    equal(found.at(dim=[1, 4], pos=slice(0, 2)), plain[:, :2][:, :, [1, 4]], framework)
    equal(found.at(pos=-1), np.stack([plain[0, 3], plain[1, 1]]), framework)
    equal(found.at(pos=(2, 0), dim=[0, 5]), np.stack([plain[0, 2], plain[1, 0]])[:, [0, 5]], framework)
    equal(recording(framework)[f"{PATTERN}[head=2,pos=-1,key=-1]"], WEIGHTS[[0, 1], 2, [3, 1], [3, 1]], framework)
    equal(found.at(dim=[1, 4]).at(dim=-1), plain[..., 4], framework)
    with pytest.raises(SiteError, match="axis dim has 6"):
        found.at(dim=6)


@on_each
def test_means_and_sums_count_no_padding(framework: str) -> None:
    found, plain = recording(framework)[OUT], STREAMS[1]
    equal(found.mean("dim"), plain.mean(-1), framework)
    equal(found.sum("dim"), plain.sum(-1), framework)
    equal(found.mean("pos"), np.stack([plain[0].mean(0), plain[1, :2].mean(0)]), framework)
    equal(found.sum("pos"), np.stack([plain[0].sum(0), plain[1, :2].sum(0)]), framework)
    equal(found.mean("batch", "pos"), np.concatenate([plain[0], plain[1, :2]]).mean(0), framework)
    with pytest.raises(SiteError, match="differ in length"):
        found.mean("batch")
    equal(recording(framework, None)[OUT].mean("batch"), plain.mean(0), framework)


@on_each
def test_values_reckon_by_the_names_of_their_axes(framework: str) -> None:
    held = recording(framework)
    a, b, plain, other = held[OUT], held["layers.2:out"], STREAMS[1], STREAMS[2]
    turned = Value(b.site, convert(other.transpose(2, 0, 1), framework), ("dim", "batch", "pos"))
    row = convert(plain[0, 0], framework)
    for made, true in (
        (a - b, plain - other),
        (a * turned, plain * other),
        (2 - a, 2 - plain),
        (1 / a, 1 / plain),
        (-a, -plain),
        (abs(a), abs(plain)),
        (a**2, plain**2),
        (a * row, plain * plain[0, 0]),
        (row * a, plain * plain[0, 0]),
        (np.float64(2) * a, 2 * plain),
        (plain[0, 0] + a, plain[0, 0] + plain),
        (a - a.mean("dim"), plain - plain.mean(-1, keepdims=True)),
    ):
        equal(made, true, framework)
        assert made.axes == AXES
    with pytest.raises(SiteError, match="do not fit: axis dim"):
        a - held[PATTERN]


@pytest.mark.parametrize(("one", "other"), [("torch", "jax"), ("jax", "torch")])
def test_values_of_two_frameworks_meet_after_a_conversion_only(one: str, other: str) -> None:
    a, b = recording(one)[OUT], recording(other)["layers.2:out"]
    for attempt in (lambda: a - b, lambda: a * b.array):
        with pytest.raises(SiteError, match=f"an array of {other} does not add to one of {one}") as refused:
            attempt()
        assert f'value.to("{one}")' in refused.value.hint
    equal(a - b.to(one), STREAMS[1] - STREAMS[2], one)
    equal(a - b.to("numpy"), STREAMS[1] - STREAMS[2], one)
    equal(b.to("numpy") - a, STREAMS[2] - STREAMS[1], one)


@on_each
def test_layers_stack(framework: str) -> None:
    stack = recording(framework).stack("layers.*:out")
    equal(stack, np.stack(STREAMS), framework)
    assert stack.axes == ("layer", *AXES)
    equal(recording(framework).stack("layers.*:out[pos=-1]"), np.stack([s[[0, 1], [3, 1]] for s in STREAMS]), framework)


@on_each
def test_a_recording_says_what_it_holds_and_shows_it(framework: str) -> None:
    held = recording(framework)
    norm = np.sqrt((STREAMS[1][0] ** 2).sum() + (STREAMS[1][1, :2] ** 2).sum())
    assert repr(held[OUT]) == f"Value({OUT}, batch=2 pos=4 dim=6, float32, norm {norm:.4g})"
    assert f"{norm:.4g}" in repr(held) and f"{norm:.4g}" in held._repr_html_()
    assert held.nbytes == sum(each.nbytes for each in (*STREAMS, WEIGHTS))
    pictures = [str(each.show().svg) for each in (held[OUT], recording("torch")[OUT])]
    assert pictures[0] == pictures[1]
    assert "sat" in pictures[0]
    assert "layers.0:out" in str(held.show().svg)


@pytest.mark.parametrize(
    ("array", "dtype", "norm"),
    [
        (jnp.asarray([3.0, 4.0], jnp.bfloat16), "bfloat16", "5"),
        (jnp.asarray([300.0, 400.0], jnp.float16), "float16", "500"),
        (jnp.asarray([3 + 4j, 0]), "complex64", "5"),
        (jnp.asarray([200, 100], jnp.uint8), "uint8", "223.6"),
        (jnp.asarray([True, False]), "bool", "1"),
        (jnp.asarray([-jnp.inf, 2.0]), "float32", "2"),
        (jnp.asarray([jnp.nan, 2.0]), "float32", "nan"),
        (np.asarray([200, 100], np.uint8), "uint8", "223.6"),
        (np.asarray(jnp.asarray([3.0, 4.0], jnp.bfloat16)), "bfloat16", "5"),
    ],
)
def test_norms_of_all_kinds_of_numbers(array: Any, dtype: str, norm: str) -> None:
    assert repr(Value(parse("a:out"), array, ("dim",))) == f"Value(a:out, dim=2, {dtype}, norm {norm})"


@on_each
def test_values_are_arrays_for_numpy_too(framework: str) -> None:
    array = convert(np.asarray(jnp.asarray(STREAMS[0], jnp.bfloat16)), framework)
    value = Value(parse(OUT), array, AXES)
    assert np.asarray(value).dtype == np.float32
    np.testing.assert_allclose(np.asarray(value), STREAMS[0], rtol=0.01)
    assert np.asarray(value, dtype=np.float64).dtype == np.float64
    kept = np.array(recording(framework)[OUT], copy=True)
    assert kept.flags.writeable


def test_a_traced_value_says_so() -> None:
    seen = []

    def watched(array: Any) -> Any:
        value = Value(parse(OUT), array, AXES)
        seen.append(repr(value))
        with pytest.raises(SiteError, match="traced, so it has no numbers yet") as refused:
            value.to("torch")
        assert "return it from the function" in refused.value.hint
        return (value.at(pos=slice(1, 3)).mean("dim") * 2).array

    made = jax.jit(watched)(jnp.asarray(STREAMS[0]))
    assert seen == [f"Value({OUT}, batch=2 pos=4 dim=6, float32, traced)"]
    np.testing.assert_allclose(made, 2 * STREAMS[0][:, 1:3].mean(-1), rtol=1e-5)


# from one framework to another


@on_each
@pytest.mark.parametrize("to", FRAMEWORKS)
def test_a_recording_goes_to_another_framework_and_keeps_what_is_known(framework: str, to: str) -> None:
    held = recording(framework)
    found = held.to(to)
    assert list(found) == list(held) and found.tokens == held.tokens and found.output == "returned"
    for site, stream in zip(held, STREAMS, strict=False):
        equal(found[site], stream, to)
        assert found[site].axes == held[site].axes
        assert found[site].lengths == held[site].lengths
    equal(held[OUT].to(to).at(pos=-1), STREAMS[1][[0, 1], [3, 1]], to)
    with pytest.raises(SiteError, match="expected torch, jax or numpy to convert to, got 'tensorflow'"):
        held.to("tensorflow")


@pytest.mark.parametrize(("framework", "to"), [("torch", "numpy"), ("numpy", "torch"), ("numpy", "numpy")])
def test_a_copy_is_a_copy_and_without_one_memory_is_shared(framework: str, to: str) -> None:
    for copy in (True, False):
        value = recording(framework)[OUT]
        other = value.to(to, copy=copy)
        value.array[0, 0, 0] = 7.0
        assert (np.asarray(other)[0, 0, 0] == 7.0) is not copy


@pytest.mark.parametrize("framework", ["torch", "numpy"])
def test_a_copy_in_jax_does_not_change_with_its_source(framework: str) -> None:
    value = Value(parse(OUT), convert(np.zeros((64, 64), np.float32), framework), ("pos", "dim"))
    other, back = value.to("jax"), value.to("jax").to(framework)
    value.array[:] = 7.0
    assert not np.asarray(other).any()
    back.array[:] = 7.0
    assert not np.asarray(other).any()


@on_each
def test_a_recording_of_any_framework_is_saved_and_loaded(framework: str, tmp_path: Path) -> None:
    held = recording(framework)
    held.save(tmp_path / "run")
    loaded = models.load_recording(tmp_path / "run")
    assert list(loaded) == list(held) and loaded.tokens == held.tokens
    for site in held:
        assert np.array_equal(np.asarray(loaded[site]), np.asarray(held[site]))
        assert loaded[site].axes == held[site].axes
    assert loaded[f"{OUT}[pos=-1]"].shape == (2, 6)
    with pytest.raises(SiteError, match="is not empty"):
        held.save(tmp_path / "run")
