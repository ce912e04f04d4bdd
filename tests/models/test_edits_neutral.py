"""Every edit on every framework, held to what NumPy makes of it: eagerly, compiled with its arrays as arguments."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import darklantern as dl
from darklantern.errors import SiteError
from darklantern.models import Recording, Value, parse
from darklantern.models.edits import Edit, edit
from darklantern.models.shim import convert, framework_of

AXES = ("batch", "pos", "dim")
SITE = parse("layers.0:out")
FRAMEWORKS = ("torch", "jax")
Array = NDArray[np.float32]

draw = np.random.default_rng(0)
OLD = draw.normal(size=(4, 3, 6)).astype(np.float32)
ROW = draw.normal(size=6).astype(np.float32)
ROWS = draw.normal(size=(2, 6)).astype(np.float32)
CELLS = draw.normal(size=(4, 3, 6)).astype(np.float32)
TURNED = CELLS.transpose(2, 0, 1)


@dataclass
class Case:
    """An edit, made of arrays as `to` hands them over, and what it does."""

    make: Callable[[Callable[[Array], Any]], Any]
    truth: Callable[[Array], Array]


def length(array: Array) -> Array:
    return np.linalg.norm(array, axis=-1, keepdims=True)


def inside(old: Array, rows: Array) -> Array:
    q, _ = np.linalg.qr(rows.astype(np.float64).T)
    return ((old @ q) @ q.T).astype(np.float32)


def resampled(old: Array) -> Array:
    order = np.random.default_rng(5).permutation(4)
    made = np.empty_like(old)
    for here, there in zip(order, np.roll(order, 1), strict=True):
        made[here] = old[there]
    return made


def turned(to: Callable[[Array], Any]) -> Value:
    return Value(parse("a:out"), to(TURNED), ("dim", "batch", "pos"))


def recorded(to: Callable[[Array], Any]) -> Recording:
    return Recording([(SITE, to(CELLS), AXES)], None)


def weighted(weights: Any, value: Any, *, shift: Any, times: float) -> Any:
    return value * weights + times * shift


CASES = {
    "zero": Case(lambda to: dl.zero(), np.zeros_like),
    "put": Case(lambda to: dl.put(to(ROW)), lambda old: np.broadcast_to(ROW, old.shape)),
    "put a value": Case(lambda to: dl.put(turned(to)), lambda old: CELLS),
    "put a number": Case(lambda to: dl.put(3), lambda old: np.full_like(old, 3)),
    "take": Case(lambda to: dl.take(recorded(to)), lambda old: CELLS),
    "mean": Case(lambda to: dl.mean(), lambda old: np.broadcast_to(old.mean(0), old.shape)),
    "mean of": Case(lambda to: dl.mean(recorded(to)), lambda old: np.broadcast_to(CELLS.mean(0), old.shape)),
    "resample": Case(lambda to: dl.resample(seed=5), resampled),
    "scale": Case(lambda to: dl.scale(0.5), lambda old: 0.5 * old),
    "scale by a value": Case(lambda to: dl.scale(turned(to)), lambda old: CELLS * old),
    "add": Case(lambda to: dl.add(to(ROW)), lambda old: old + ROW),
    "add a value": Case(lambda to: dl.add(turned(to)), lambda old: old + CELLS),
    "add scaled": Case(lambda to: dl.add(to(ROW), scale=-2.0), lambda old: old - 2 * ROW),
    "add scaled by an array": Case(lambda to: dl.add(to(ROW), to(ROW[:1])), lambda old: old + ROW[0] * ROW),
    "add a list": Case(lambda to: dl.add([1.0, 2, 3, 4, 5, 6]), lambda old: old + np.arange(1, 7, dtype=np.float32)),
    "add of a length": Case(
        lambda to: dl.add(to(ROW), scale=2.0, norm=0.3),
        lambda old: old + 0.6 * ROW / length(ROW) * length(old),
    ),
    "project": Case(lambda to: dl.project(to(ROWS)), lambda old: old - inside(old, ROWS)),
    "project on one": Case(lambda to: dl.project(to(ROW), keep=True), lambda old: inside(old, ROW[None])),
    "stop_gradient": Case(lambda to: dl.stop_gradient(), lambda old: old),
    "a function": Case(lambda to: lambda value: value * 2 + 1, lambda old: 2 * old + 1),
    "a partial function": Case(
        lambda to: partial(weighted, to(ROW), shift=to(CELLS), times=3.0), lambda old: old * ROW + 3 * CELLS
    ),
}

OWN = ("a function", "a partial function")


def cases(*without: str) -> Any:
    kept = {name: case for name, case in CASES.items() if name not in without}
    return pytest.mark.parametrize("case", kept.values(), ids=kept.keys())


every_case = cases()
on_each = pytest.mark.parametrize("framework", FRAMEWORKS)


def made(case: Case, framework: str) -> Edit:
    """The case's edit for the site, of arrays of `framework`."""
    return edit(case.make(lambda array: convert(array, framework)), SITE)


def close(found: Any, true: Array, **more: Any) -> None:
    np.testing.assert_allclose(convert(found, "numpy"), true, rtol=2e-5, atol=2e-5, **more)


@cases("a partial function")  # which gets its arrays as they are
@on_each
@pytest.mark.parametrize("of", ["torch", "jax", "numpy"])
def test_an_edit_is_what_numpy_makes_of_it_whatever_it_was_made_of(case: Case, framework: str, of: str) -> None:
    found = made(case, of)
    new = found(convert(OLD, framework), AXES)
    assert framework_of(new) == framework
    assert tuple(new.shape) == OLD.shape
    close(new, case.truth(OLD))


@every_case
def test_an_edit_compiles_with_its_arrays_as_arguments(case: Case) -> None:
    found = made(case, "torch")
    operands = [convert(each, "jax") for each in found.operands]
    apply = lambda old, *arrays: found.function(old, AXES, *arrays)  # noqa: E731
    compiled, old = jax.jit(apply), jnp.asarray(OLD)
    close(compiled(old, *operands), case.truth(OLD))
    within = jax.make_jaxpr(apply)(old, *operands).consts
    assert not any("float" in str(each.dtype) and each.size > 1 for each in within)
    batched = jax.vmap(apply, in_axes=(0, *(None for _ in operands)))(jnp.stack([old, 2 * old]), *operands)
    close(batched, np.stack([case.truth(OLD), case.truth(2 * OLD)]))
    _, scanned = jax.lax.scan(lambda _, each: (None, apply(each, *operands)), None, jnp.stack([old, 3 * old]))
    close(scanned, np.stack([case.truth(OLD), case.truth(3 * OLD)]))


def fractional(operands: tuple[Any, ...]) -> list[int]:
    return [number for number, each in enumerate(operands) if "float" in str(each.dtype)]


@on_each
def test_a_partial_function_is_given_its_arrays(framework: str) -> None:
    case = CASES["a partial function"]
    close(made(case, framework)(convert(OLD, framework), AXES), case.truth(OLD))


@cases("stop_gradient")
def test_gradients_flow_to_the_value_and_to_what_it_was_made_of(case: Case) -> None:
    found = made(case, "torch")
    free = fractional(found.operands)
    wide = [torch.as_tensor(each).double().requires_grad_() for each in found.operands]
    old = torch.tensor(OLD, dtype=torch.float64, requires_grad=True)

    def of_these(value: Any, *changed: Any, operands: list[Any]) -> Any:
        given = list(operands)
        for number, each in zip(free, changed, strict=True):
            given[number] = each
        return found.function(value, AXES, *given)

    chosen = [wide[number] for number in free]
    if case is not CASES["zero"]:
        assert torch.autograd.gradcheck(lambda *each: of_these(*each, operands=wide), (old, *chosen))
    weights = draw.normal(size=OLD.shape).astype(np.float32)
    total = (of_these(old, *chosen, operands=wide) * torch.tensor(weights)).sum()
    true = torch.autograd.grad(total, (old, *chosen), allow_unused=True) if total.requires_grad else ()

    arrays = [convert(each, "jax") for each in found.operands]
    metric = lambda *each: (of_these(*each, operands=arrays) * weights).sum()  # noqa: E731
    here = (jnp.asarray(OLD), *(arrays[number] for number in free))
    for derive in (jax.grad, lambda *a: jax.jit(jax.grad(*a))):
        grads = derive(metric, tuple(range(len(here))))(*here)
        for mine, other in zip(grads, true or [None] * len(grads), strict=True):
            close(mine, np.zeros(mine.shape) if other is None else other.numpy())


@on_each
def test_stop_gradient_lets_none_through(framework: str) -> None:
    if framework == "jax":
        assert not jax.grad(lambda old: dl.stop_gradient()(old, AXES).sum())(jnp.asarray(OLD)).any()
        return
    old = torch.tensor(OLD, requires_grad=True)
    assert not dl.stop_gradient()(old, AXES).requires_grad


@cases(*OWN)  # what those return is cast by the engine
@on_each
def test_a_value_of_sixteen_bits_stays_one(case: Case, framework: str) -> None:
    old = torch.tensor(OLD).bfloat16() if framework == "torch" else jnp.asarray(OLD, jnp.bfloat16)
    found = made(case, "numpy")(old, AXES)
    assert found.dtype == old.dtype
    true = case.truth(np.asarray(torch.tensor(OLD).bfloat16().float()))
    np.testing.assert_allclose(convert(found, "numpy").astype(np.float32), true, rtol=0.05, atol=0.05)


# what an engine that compiles may rely on


class Compiling:
    """Runs edits as an engine does that compiles: the code by the key and by shapes, the arrays as arguments."""

    def __init__(self) -> None:
        self.code: dict[Any, Any] = {}
        self.compiled = 0

    def run(self, asked: Any, old: Any = OLD) -> Any:
        found = edit(asked, SITE)
        operands = [convert(each, "jax") for each in found.operands]
        key = (found.key, *((each.shape, str(each.dtype)) for each in operands))

        def counted(value: Any, *arrays: Any) -> Any:
            self.compiled += 1
            return found.function(value, AXES, *arrays)

        return self.code.setdefault(key, jax.jit(counted))(jnp.asarray(old), *operands)


@pytest.mark.parametrize(
    "pair",
    [
        (dl.add(ROW), dl.add(torch.tensor(-ROW))),
        (dl.add(ROW, norm=2.0), dl.add(2 * ROW, norm=3.0)),
        (dl.add(ROW, scale=2.0), dl.add(ROW, scale=3.0)),
        (dl.scale(2.0), dl.scale(3.0)),
        (dl.put(ROW), dl.put(jnp.asarray(ROW) + 1)),
        (dl.take(recorded(np.asarray)), dl.put(Value(parse("b:out"), 2 * CELLS, AXES))),
        (dl.project(ROWS), dl.project(ROWS + 1)),
        (dl.resample(seed=3), dl.resample(seed=3)),
        (dl.mean(), dl.mean()),
        (partial(weighted, ROW, shift=ROW, times=2.0), partial(weighted, 2 * ROW, shift=ROW + 1, times=2.0)),
    ],
)
def test_other_numbers_of_the_same_shape_compile_nothing(pair: tuple[Any, Any]) -> None:
    engine = Compiling()
    for each in pair:
        close(engine.run(each), convert(edit(each, SITE)(jnp.asarray(OLD), AXES), "numpy"))
    assert engine.compiled == 1


def plain(value: Any, *more: Any, **named: Any) -> Any:
    return value + sum(map(float, (*more, *named.values())))


@pytest.mark.parametrize(
    "pair",
    [
        (dl.add(CELLS), dl.add(Value(SITE, CELLS, AXES))),
        (dl.put(Value(SITE, TURNED, ("dim", "batch", "pos"))), dl.put(Value(SITE, TURNED, ("head", "batch", "pos")))),
        (dl.add(ROW), dl.put(ROW)),
        (dl.add(ROW), dl.add(ROW, scale=2.0)),
        (dl.add(ROW, scale=2.0), dl.add(ROW, norm=2.0)),
        (dl.project(ROWS), dl.project(ROWS, keep=True)),
        (dl.resample(seed=3), dl.resample(seed=4)),
        (dl.zero(), dl.mean()),
        (lambda value: value, lambda value: value),
        (partial(plain, times=1), partial(plain, times=1.0)),
        (partial(plain, times=0.0), partial(plain, times=-0.0)),
        (partial(plain, times=(1, 2)), partial(plain, times=(1.0, 2))),
        (partial(plain, times=1), partial(plain, time=1)),
        (partial(plain, times=[1]), partial(plain, times=[1.0])),
    ],
)
def test_what_computes_something_else_has_another_key(pair: tuple[Any, Any]) -> None:
    one, other = (edit(each, SITE) for each in pair)
    assert one.key != other.key
    assert hash(one.key) is not None
    assert one.key == edit(pair[0], SITE).key


@every_case
def test_neither_the_key_nor_the_function_holds_an_array(case: Case) -> None:
    found = made(case, "torch")
    key, function, arrays = found.key, found.function, [weakref.ref(each) for each in found.operands]
    del found
    assert not any(array() is not None for array in arrays)
    assert callable(function) and hash(key) == hash(key)


# mistakes, alike on both


@on_each
@pytest.mark.parametrize(
    ("asked", "axes", "message"),
    [
        (
            lambda: dl.put(np.ones(5)),
            AXES,
            r"expected a value that broadcasts to batch pos dim \(4, 3, 6\), got \(5,\)",
        ),
        (lambda: dl.add(np.ones((2, 4, 3, 6))), AXES, r"got \(2, 4, 3, 6\)"),
        (lambda: dl.put(Value(parse("a:z"), CELLS, ("batch", "head", "dim"))), AXES, "without head"),
        (lambda: dl.add(Value(parse("a:z"), ROW[:3], ("pos",)), norm=1.0), AXES, "length is along another axis"),
        (lambda: dl.scale(1j), AXES, "the value there is float32, and what should replace it complex64"),
        (lambda: dl.project(np.ones(5)), AXES, "directions have 5 components, the last axis dim 6"),
        (lambda: dl.project(ROW * 1j), AXES, "the value there is float32, and what should replace it complex"),
        (lambda: dl.resample(seed=1), ("pos", "dim"), "expected a value with axis batch"),
    ],
)
def test_what_does_not_fit_is_told(framework: str, asked: Any, axes: tuple[str, ...], message: str) -> None:
    old = convert(OLD if axes == AXES else OLD[0], framework)
    with pytest.raises(SiteError, match=message):
        edit(asked(), SITE)(old, axes)


@on_each
def test_whole_numbers_stay_whole(framework: str) -> None:
    ids = convert(np.arange(6).reshape(2, 3), framework)
    for change in (dl.add(0.5), dl.scale(np.float32(0.5)), dl.mean().at(SITE), dl.project(ROW[:3]), dl.add(1, norm=2)):
        with pytest.raises(SiteError, match=r"the value there is int(32|64)"):
            change(ids, ("batch", "pos"))
    with pytest.raises(SiteError, match=r"the value there is int(32|64), and what should replace it float32"):
        edit(lambda value: value * 0.5, SITE)(ids, ("batch", "pos"))
    close(dl.add(1)(ids, ("batch", "pos")), np.arange(6).reshape(2, 3) + 1)


@pytest.mark.parametrize("given", [0 * ROW, torch.zeros(6), jnp.zeros((2, 6)), [0.0, 0.0], 0.0])
def test_a_direction_of_no_length_is_refused_when_the_edit_is_made(given: Any) -> None:
    with pytest.raises(SiteError, match="cannot be made 2 times as long"):
        dl.add(given, norm=2.0)
    with pytest.raises(SiteError, match="all directions are zero"):
        dl.project(given if np.ndim(given) else [0.0])


def test_what_jax_traces_goes_where_no_number_is_needed() -> None:
    old, names = jnp.asarray(OLD), []

    def steered(row: Any) -> Any:
        made = dl.add(row, scale=row[0], norm=row[1])
        names.extend([made.name, dl.scale(row[0]).name])
        return made(old, AXES)

    close(jax.jit(steered)(jnp.asarray(ROW)), OLD + ROW[0] * ROW[1] * ROW / length(ROW) * length(OLD))
    assert names == ["add((6,), norm=a traced number)", "scale(a traced number)"]
    with pytest.raises(SiteError, match="how many directions are independent is not known") as refused:
        jax.jit(lambda row: dl.project(row)(old, AXES))(jnp.asarray(ROW))
    assert "outside of jit" in refused.value.hint


def test_a_parameter_of_a_library_is_the_array_in_it() -> None:
    from flax import nnx

    close(dl.add(nnx.Param(jnp.asarray(ROW)))(jnp.asarray(OLD), AXES), OLD + ROW)


@pytest.mark.parametrize("given", [2.0, np.ones((2, 3, 6)), torch.ones(2, 2, 6)])
def test_directions_to_project_on_are_one_or_a_list(given: Any) -> None:
    with pytest.raises(SiteError, match=r"expected directions \(dim,\) or \(n, dim\), got shape"):
        dl.project(given)


@pytest.mark.parametrize(
    "asked", ["happy", object(), None, np.array(["a"]), np.array(1, "datetime64[s]"), [[1], [2, 3]]]
)
def test_what_holds_no_numbers_is_refused(asked: Any) -> None:
    for make in (dl.put, dl.add, dl.scale, dl.project):
        with pytest.raises(SiteError, match="expected a Value, a tensor or a number, got"):
            make(asked)


def test_arrays_that_torch_does_not_take_as_they_are_do_their_work() -> None:
    readonly = ROW.copy()
    readonly.flags.writeable = False
    for odd, true in ((readonly, ROW), (ROW[::-1], ROW[::-1]), (ROW.astype(">f4"), ROW), (jnp.asarray(ROW), ROW)):
        close(dl.add(odd)(torch.tensor(OLD), AXES), OLD + true)
    rounded = np.asarray(jnp.asarray(ROW, jnp.bfloat16))
    close(dl.add(rounded)(torch.tensor(OLD), AXES), OLD + rounded.astype(np.float32))


@settings(deadline=None)
@given(count=st.sampled_from([2, 3, 17]), seed=st.integers(0, 1000))  # JAX compiles for each shape
def test_resampling_moves_the_same_examples_everywhere(count: int, seed: int) -> None:
    value = np.arange(count, dtype=np.float32).reshape(count, 1)
    there = [convert(dl.resample(seed)(convert(value, each), ("batch", "dim")), "numpy") for each in FRAMEWORKS]
    assert np.array_equal(*there)
    assert sorted(there[0].ravel()) == list(range(count))
    assert not (there[0] == value).any()


@on_each
def test_an_error_in_a_function_of_ones_own_names_the_site(framework: str) -> None:
    def broken(weights: Any, value: Any) -> Any:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as failed:
        edit(partial(broken, ROW), SITE)(convert(OLD, framework), AXES)
    assert f"in the edit partial at {SITE}" in failed.value.__notes__
