"""The seam between frameworks: each function on both, against NumPy, the standard library or a formula."""

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from darklantern.errors import MissingExtraError, SiteError
from darklantern.models import shim
from darklantern.models.backends import Backend
from darklantern.models.dtypes import dtype_name, numpy_dtype
from darklantern.models.shim import backend, backend_of, convert, framework_of, namespace

FRAMEWORKS = ("torch", "jax")
on_each = pytest.mark.parametrize("framework", FRAMEWORKS)
unhurried = settings(deadline=None, max_examples=30)  # JAX compiles at the first call for each shape
moderate = st.floats(-8, 8, width=32)
matrices = arrays.arrays(np.float32, st.sampled_from([(1, 1), (3, 5)]), elements=moderate)


def close(found: Any, true: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(shim.numbers(found), true, rtol=tolerance, atol=tolerance)


def array(framework: str, *given: Any, dtype: Any = np.float32) -> Any:
    return convert(np.asarray(*given, dtype=dtype), framework)


def python(code: str, *missing: str) -> str:
    blocked = f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n"
    done = subprocess.run([sys.executable, "-c", blocked + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# which framework


class Own(torch.Tensor):
    """A tensor of the user's own."""


@pytest.mark.parametrize(
    ("held", "framework"),
    [
        (torch.ones(2), "torch"),
        (torch.nn.Parameter(torch.ones(2)), "torch"),
        (torch.ones(2).as_subclass(Own), "torch"),
        (jnp.ones(2), "jax"),
        (jax.random.key(0), "jax"),
        (np.ones(2), "numpy"),
        (np.float32(1), "numpy"),
    ],
)
def test_an_array_has_the_framework_that_made_it(held: Any, framework: str) -> None:
    assert framework_of(held) == framework
    assert shim.is_array(held) and not shim.is_traced(held)


@pytest.mark.parametrize("under", [jax.jit, jax.vmap, jax.grad, jax.checkpoint])
def test_traced_arrays_are_jaxs(under: Any) -> None:
    seen = []

    def watched(x: Any) -> Any:
        seen.append((framework_of(x), shim.is_traced(x), namespace(x) is jnp, backend_of(x).name))
        return x.sum()

    under(watched)(jnp.ones(2))
    assert set(seen) == {("jax", True, True, "jax")}


@pytest.mark.parametrize("held", [None, 3, [1.0], "text", jax.ShapeDtypeStruct((2,), np.float32), torch.float32])
def test_what_is_no_array_has_no_framework(held: Any) -> None:
    assert not shim.is_array(held)
    with pytest.raises(SiteError, match=f"expected an array of torch, JAX or NumPy, got {type(held).__name__}"):
        framework_of(held)


@pytest.mark.parametrize("framework", [*FRAMEWORKS, "numpy"])
def test_a_namespace_is_of_the_array_api(framework: str) -> None:
    held = array(framework, [[3.0, 1.0], [2.0, 4.0]])
    xp = namespace(held)
    assert framework_of(xp.permute_dims(held, (1, 0))) == framework
    close(xp.concat([held, xp.sum(held, axis=0, keepdims=True)], axis=0), [[3, 1], [2, 4], [5, 5]])
    close(shim.stacked([held, 2 * held], 1), [[[3, 1], [6, 2]], [[2, 4], [4, 8]]])


def test_numpy_has_no_backend() -> None:
    with pytest.raises(SiteError, match="expected torch or jax, got 'numpy'"):
        backend_of(np.ones(2))


def test_importing_the_shim_loads_no_framework() -> None:
    code = "import darklantern.models.shim, darklantern.models.edits, sys; print({'torch', 'jax'} & set(sys.modules))"
    assert python(code) == "set()"


@pytest.mark.parametrize(("framework", "other"), [("torch", "jax"), ("jax", "torch")])
def test_one_framework_does_without_the_other(framework: str, other: str) -> None:
    code = f"""
import sys
import numpy as np
import darklantern as dl
from darklantern.errors import MissingExtraError
from darklantern.models import shim
held = shim.convert(np.ones((2, 3), np.float32), {framework!r})
print(shim.framework_of(dl.add([1.0, 2, 3], norm=2.0)(held, ("batch", "dim"))), shim.log_probs(held).shape)
with shim.without_gradients(), shim.one_thread():
    shim.keep_to_one_thread()
try: shim.backend({other!r})
except MissingExtraError as error: print(error, "|", error.hint)
"""
    said = python(code, other, f"{other}lib").split("\n")
    assert said[0] == f"{framework} (2, 3)"
    assert "which is not installed" in said[1] and f'pip install "darklantern[{other}]"' in said[1]


def test_in_a_process_of_jax_nothing_loads_torch() -> None:
    code = """
import sys
import jax.numpy as jnp
import darklantern as dl
from darklantern.models import Recording, Value, parse, shim
value = Value(parse("a:out"), jnp.ones((2, 3)), ("batch", "dim"))
shim.log_probs((dl.project([[1.0, 2, 3]])(value.array, value.axes)))
with shim.without_gradients(), shim.one_thread():
    print(value - value.mean("dim"), value.to("numpy"), value.show())
shim.keep_to_one_thread()
assert "torch" not in sys.modules
"""
    assert "norm 0" in python(code)


# from one to the other

KINDS = ["bool", "int8", "uint8", "int16", "int32", "float16", "float32", "complex64", "bfloat16", "float8_e4m3fn"]


@st.composite
def anything(draw: Any) -> Any:
    """An array of some dtype and shape, perhaps turned around, a view, or read-only."""
    kind = draw(st.sampled_from(KINDS))
    base = kind if hasattr(np, kind) else "float32"
    made = draw(arrays.arrays(base, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)))
    made = np.asarray(np.nan_to_num(made)).astype(numpy_dtype(kind))
    if made.ndim and draw(st.booleans()):
        made = made[::-1].T
    made.flags.writeable = draw(st.booleans()) and made.flags.writeable
    return made


@unhurried
@given(true=anything(), copy=st.booleans(), through=st.permutations(["torch", "jax", "numpy"]))
def test_every_array_goes_everywhere_and_comes_back_bit_for_bit(true: Any, copy: bool, through: list[str]) -> None:
    held = true
    for framework in (*through, "numpy"):
        held = convert(held, framework, copy=copy)
        assert framework_of(held) == framework
        assert dtype_name(held) == dtype_name(true)
        assert tuple(held.shape) == true.shape
    assert held.tobytes() == np.ascontiguousarray(true).tobytes()


@pytest.mark.parametrize("source", [*FRAMEWORKS, "numpy"])
@pytest.mark.parametrize("to", [*FRAMEWORKS, "numpy"])
def test_a_copy_shares_no_memory(source: str, to: str) -> None:
    held = convert(np.zeros((64, 64), np.float32), source)
    made = convert(held, to)
    for written, other in ((held, made), (made, held)):
        if framework_of(written) != "jax":  # whose arrays nobody writes into
            written[:] = 7.0
            assert not shim.numbers(other).any()
            written[:] = 0.0


def test_without_a_copy_memory_is_shared_where_that_can_be() -> None:
    plain, tensor = np.zeros(8, np.float32), torch.zeros(8)
    convert(plain, "torch", copy=False)[0] = 7
    convert(tensor, "numpy", copy=False)[0] = 7
    assert plain[0] == tensor[0] == 7
    there = jnp.zeros(8)
    convert(there, "torch", copy=False)[0] = 7  # JAX's own do not change, so this one is a copy after all
    assert there[0] == 0


def test_gradients_stay_within_a_framework() -> None:
    held = torch.ones(2, requires_grad=True)
    assert convert(held, "torch").grad_fn is not None
    assert convert(held, "torch", copy=False) is held
    close(convert(held * 2, "jax"), [2, 2])
    assert jax.grad(lambda x: convert(x, "jax").sum())(jnp.ones(2)).tolist() == [1, 1]
    close(convert((torch.ones(2) * 1j).conj(), "numpy").imag, [-1, -1])


@pytest.mark.parametrize("to", ["torch", "numpy"])
def test_traced_arrays_have_no_numbers_to_convert(to: str) -> None:
    for under in (jax.jit, jax.vmap, jax.grad):
        with pytest.raises(SiteError, match=f"is traced, so it has no numbers yet that {to} could have") as refused:
            under(lambda x: convert(x, to))(jnp.ones(2))
        assert "jax.jit, grad, vmap or scan" in refused.value.hint


@pytest.mark.parametrize(
    ("held", "to", "message"),
    [
        (np.ones(2, np.longdouble), "torch", "torch has no dtype"),
        (np.array(["a"]), "torch", "torch has no dtype"),
        (np.array(["a"]), "jax", "JAX has no dtype"),
        (np.array([object()]), "jax", "JAX has no dtype object"),
        (jnp.ones(2, jnp.int4), "torch", "torch has no dtype int4"),
        (jax.random.key(0), "numpy", "cannot become a NumPy array"),
        (torch.ones(2, 2).to_sparse(), "numpy", "cannot become a NumPy array"),
        (torch.ones(2, device="meta"), "numpy", "cannot become a NumPy array"),
        (np.array([2**40]), "jax", r"int64 numbers up to 1\.1e\+12 do not fit into int32"),
        (torch.tensor([-(2**40)]), "jax", "do not fit into int32"),
        (np.array([1e300, np.inf]), "jax", "float64 numbers up to 1e\\+300 do not fit into float32"),
        (np.ones(2), "tensorflow", "expected torch, jax or numpy to convert to"),
    ],
)
def test_what_a_framework_cannot_hold_is_refused(held: Any, to: str, message: str) -> None:
    with pytest.raises(SiteError, match=message) as refused:
        convert(held, to)
    assert refused.value.hint


def test_sixty_four_bits_become_thirty_two_in_jax_where_they_fit() -> None:
    assert convert(np.array([2**31 - 1, -(2**31)]), "jax").tolist() == [2**31 - 1, -(2**31)]
    assert dtype_name(convert(torch.tensor([0.5, math.inf], dtype=torch.float64), "jax")) == "float32"
    with jax.enable_x64(True):
        assert convert(np.array([2**40]), "jax").tolist() == [2**40]


def test_arrays_of_an_accelerator_go_over_without_the_host() -> None:
    # As on an accelerator; here it lies where both can reach it too.
    bits = jnp.arange(6, dtype=jnp.bfloat16)
    close(backend("torch").from_device(bits, copy=True), range(6))
    close(backend("jax").from_device(torch.arange(6.0, requires_grad=True), copy=True), range(6))
    assert backend("jax").from_device(torch.arange(6), copy=True) is None  # 64 bits are looked at first
    assert backend("torch").from_device("no array", copy=True) is None


# functions of functions


class Pair(NamedTuple):
    """A tree of the user's own."""

    one: Any
    other: Any


@on_each
def test_a_value_and_its_gradient_over_a_tree(framework: str) -> None:
    here = backend(framework)
    params = {
        "w": array(framework, [[1.0, 2.0], [3.0, 4.0]]),
        "rest": [array(framework, [5.0]), (array(framework, 6.0),)],
        "pair": Pair(array(framework, [2.0]), array(framework, [3.0])),
    }

    def metric(tree: Any) -> Any:
        product = tree["pair"].one * tree["pair"].other
        return (tree["w"] ** 2).sum() + 3 * tree["rest"][0].sum() + tree["rest"][1][0] ** 3 + product.sum()

    for run in (here.value_and_grad(metric), here.jit(here.value_and_grad(metric))):
        with torch.no_grad():  # which is about torch's own graphs alone
            value, grads = run(params)
        close(value, 30 + 15 + 216 + 6)
        close(grads["w"], [[2, 4], [6, 8]])
        close(grads["rest"][0], [3])
        close(grads["rest"][1][0], 108)
        assert isinstance(grads["pair"], Pair)
        close(grads["pair"].one, [3])
        close(grads["pair"].other, [2])
    assert not getattr(value, "requires_grad", False)


@on_each
def test_gradients_for_each_example(framework: str) -> None:
    here = backend(framework)
    weights, examples = array(framework, [1.0, -2.0]), array(framework, [[1, 2], [3, 4], [5, 6]])
    each = here.vmap(lambda w, x: here.value_and_grad(lambda held: (held * x).sum() ** 2)(w), in_axes=(None, 0))
    values, grads = each(weights, examples)
    product = np.array([1 - 4, 3 - 8, 5 - 12])
    close(values, product**2)
    close(grads, 2 * product[:, None] * np.array([[1, 2], [3, 4], [5, 6]]))
    twice = here.value_and_grad(lambda w: here.value_and_grad(lambda v: (v**3).sum())(w)[1].sum())(weights)[1]
    close(twice, [6, -12])


@on_each
@pytest.mark.parametrize(
    ("metric", "params", "message"),
    [
        (lambda x: x * 2, [1.0, 2.0], r"an array of no axes, got shape \\(2,\\)"),
        (lambda x: 3.0, [1.0], "an array of no axes, got float"),
        (lambda x: x.sum(), np.array([1, 2]), "with respect to int(32|64), whole numbers"),
    ],
)
def test_a_gradient_is_of_one_number(framework: str, metric: Any, params: Any, message: str) -> None:
    held = array(framework, params, dtype=np.asarray(params).dtype if isinstance(params, np.ndarray) else np.float32)
    with pytest.raises(SiteError, match=message.replace("\\\\", "\\")):
        backend(framework).value_and_grad(metric)(held)


@on_each
def test_a_gradient_wants_arrays(framework: str) -> None:
    here = backend(framework)
    with pytest.raises(SiteError, match="got float in it"):
        here.value_and_grad(lambda tree: tree["w"])({"w": 1.0})
    with pytest.raises(SiteError, match="got an empty one"):
        here.value_and_grad(lambda tree: tree)({"w": []})


@on_each
def test_batches_of_a_function_of_one(framework: str) -> None:
    here = backend(framework)
    a, b = np.arange(24.0).reshape(3, 2, 4), np.arange(12.0).reshape(4, 3)
    made = here.vmap(lambda x, y: {"product": x @ y, "sum": y.sum()}, (0, 1), {"product": 1, "sum": 0})(
        array(framework, a), array(framework, b)
    )
    close(made["product"], np.stack([a[i] @ b[:, i] for i in range(3)], 1))
    close(made["sum"], b.sum(0))


# functions of arrays


@on_each
@unhurried
@given(held=matrices)
def test_softmax_and_logsumexp(framework: str, held: Any) -> None:
    here, wide = backend(framework), held.astype(np.float64)
    for axis in (0, -1):
        total = np.exp(wide).sum(axis, keepdims=True)
        close(here.softmax(array(framework, held), axis), np.exp(wide) / total)
        close(here.logsumexp(array(framework, held), axis), np.log(total).squeeze(axis))
        close(here.logsumexp(array(framework, held), axis, keepdims=True), np.log(total))


@on_each
def test_masks_and_large_numbers_do_not_break_a_softmax(framework: str) -> None:
    here, held = backend(framework), array(framework, [[1000.0, 1000.0, -np.inf]])
    close(here.softmax(held), [[0.5, 0.5, 0]])
    close(here.logsumexp(held), [1000 + math.log(2)], 1e-6)
    close(here.logsumexp(array(framework, [-np.inf, -np.inf])), -np.inf)


def slope(here: Backend, how: Callable[[Any], Any], at: float) -> Any:
    return here.value_and_grad(lambda x: how(x).sum())(array(here.name, [at]))[1]


@on_each
@unhurried
@given(held=arrays.arrays(np.float32, 7, elements=moderate))
def test_activations(framework: str, held: Any) -> None:
    here, x = backend(framework), array(framework, held)
    close(here.relu(x), np.maximum(held, 0))
    erf = np.array([math.erf(each) for each in held])
    close(here.erf(x), erf)
    close(here.gelu(x), held * (1 + np.array([math.erf(each / math.sqrt(2)) for each in held])) / 2)
    inner = math.sqrt(2 / math.pi) * (held + 0.044715 * held.astype(np.float64) ** 3)
    close(here.gelu(x, tanh=True), held * (1 + np.tanh(inner)) / 2)


@on_each
def test_slopes_of_activations(framework: str) -> None:
    here = backend(framework)
    for at, expected in ((-1.0, 0.0), (0.0, 0.0), (2.0, 1.0)):
        close(slope(here, here.relu, at), [expected])
    close(slope(here, here.erf, 0.5), [2 / math.sqrt(math.pi) * math.exp(-0.25)])
    close(slope(here, here.gelu, 0.0), [0.5])


@on_each
@unhurried
@given(held=arrays.arrays(np.float32, (2, 6), elements=moderate, unique=True), count=st.integers(1, 6))
def test_the_largest_come_first(framework: str, held: Any, count: int) -> None:
    values, indices = backend(framework).top_k(array(framework, held), count)
    close(values, -np.sort(-held, -1)[:, :count])
    close(indices, np.argsort(-held, -1)[:, :count])


@on_each
def test_sums_of_products(framework: str) -> None:
    a, b, c = (np.random.default_rng(n).normal(size=(2, 3, 4)) for n in range(3))
    made = backend(framework).einsum("bij,bkj,bkl->ilb", *(array(framework, each) for each in (a, b, c)))
    close(made, np.einsum("bij,bkj,bkl->ilb", a, b, c))


@on_each
@unhurried
@given(held=matrices, q=st.sampled_from([0.0, 0.01, 0.3, 0.5, 0.9, 1.0]), axis=st.sampled_from([None, 0, 1, -1]))
def test_quantiles(framework: str, held: Any, q: float, axis: int | None) -> None:
    for keepdims in (False, True):
        found = backend(framework).quantile(array(framework, held), q, axis, keepdims)
        close(found, np.quantile(held.astype(np.float64), q, axis, keepdims=keepdims))


@on_each
def test_quantiles_of_nan_and_of_sixteen_bits(framework: str) -> None:
    here = backend(framework)
    held = array(framework, [[1.0, np.nan, 3.0], [1.0, 2.0, 3.0]])
    close(here.quantile(held, 0.1, 1), [np.nan, 1.2])
    half = array(framework, [1.0, 2.0, 3.0, 4.0], dtype=np.float16)
    assert dtype_name(here.quantile(half, 0.5)) == "float16"
    close(here.quantile(half, 0.5), 2.5)
    close(here.quantile(convert(np.zeros(17_000_000, np.float32), framework, copy=False), 0.5), 0)


@on_each
def test_normal_numbers_follow_their_seed(framework: str) -> None:
    here = backend(framework)
    drawn = here.normal((200, 300), 5)
    assert shim.numbers(drawn).tobytes() == shim.numbers(here.normal((200, 300), 5)).tobytes()
    assert not (shim.numbers(drawn) == shim.numbers(here.normal((200, 300), 6))).any()
    held = shim.numbers(drawn)
    assert abs(held.mean()) < 0.02 and abs(held.std() - 1) < 0.02 and abs((held < -1).mean() - 0.1587) < 0.01
    assert dtype_name(here.normal((2,), 0, like=array(framework, [1], dtype=np.float16))) == "float16"
    before = torch.get_rng_state()
    here.normal((3,), 1)
    assert torch.equal(torch.get_rng_state(), before)


@on_each
@pytest.mark.parametrize(
    ("index", "new"),
    [
        (1, 5.0),
        ((0, 2), [1.0, 2, 3, 4]),
        ((slice(None), slice(1, 3), -1), 9.0),
        ((slice(None), [0, 2]), np.arange(16.0).reshape(2, 2, 4)),
        (([0, 1], [2, 0]), np.arange(8.0).reshape(2, 4)),
        ((..., np.array([3, 1])), [1.0, 2.0]),
        ((slice(0, 0),), 3.0),
        ((None, 1), 2.0),
    ],
)
def test_an_index_is_set_in_a_copy(framework: str, index: Any, new: Any) -> None:
    here, before = backend(framework), np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    expected = before.copy()
    expected[index] = new
    held = array(framework, before)
    put = new if isinstance(new, float) else array(framework, new)
    close(here.index_set(held, index, put), expected)
    close(held, before)
    close(here.jit(lambda x: here.index_set(x, index, put))(held), expected)
    untouched = (expected == before) & (before != 0)
    grad = here.value_and_grad(lambda x: (here.index_set(x, index, put) ** 2).sum())(held)[1]
    assert not shim.numbers(grad)[~untouched & (before != 0)].any()


@on_each
def test_an_index_is_set_example_by_example(framework: str) -> None:
    here = backend(framework)
    made = here.vmap(lambda new: here.index_set(array(framework, np.zeros(3)), 1, new))(array(framework, [4.0, 5.0]))
    close(made, [[0, 4, 0], [0, 5, 0]])
    whole = here.index_set(array(framework, [1, 2], dtype=np.int32), 0, 7)
    assert dtype_name(whole) == "int32" and shim.numbers(whole).tolist() == [7, 2]


@on_each
def test_a_stopped_gradient_is_a_constant(framework: str) -> None:
    here = backend(framework)
    value, grad = here.value_and_grad(lambda x: (x * here.stop_gradient(x)).sum())(array(framework, [3.0]))
    close(value, 9)
    close(grad, [3])


# Adam


def quadratic(tree: Any) -> Any:
    return ((tree["a"] - 3) ** 2).sum() + 0.1 * (tree["b"][0] ** 4).sum()


START = {"a": np.array([[0.0, 1.0], [-2.0, 9.0]]), "b": [np.array([1.5, -0.5])]}


@on_each
@pytest.mark.parametrize("chosen", [{}, {"rate": 0.3, "decay": (0.8, 0.99), "tiny": 1e-3}, {"decay": (0.0, 0.9)}])
def test_adam_goes_the_way_of_torchs_and_optaxs(framework: str, chosen: Any) -> None:
    here = backend(framework)
    params = {"a": array(framework, START["a"]), "b": [array(framework, START["b"][0])]}
    state, step = here.adam_start(params), here.jit(lambda *each: here.adam_step(*each, **chosen))
    rate, (one, two), tiny = (
        chosen.get(key, usual) for key, usual in (("rate", 1e-3), ("decay", (0.9, 0.999)), ("tiny", 1e-8))
    )

    theirs = {"a": torch.tensor(START["a"], dtype=torch.float32), "b": [torch.tensor(START["b"][0]).float()]}
    leaves = [each.requires_grad_() for each in (theirs["a"], theirs["b"][0])]
    gradient, theirs_in_jax = here.jit(here.value_and_grad(quadratic)), jax.jit(jax.grad(quadratic))
    optimizer = torch.optim.Adam(leaves, lr=rate, betas=(one, two), eps=tiny)
    chain = optax.adam(rate, one, two, tiny)
    others = jax.tree.map(lambda each: jnp.asarray(each, jnp.float32), START)
    held, update = chain.init(others), jax.jit(chain.update)
    for _ in range(30):
        params, state = step(state, params, gradient(params)[1])
        optimizer.zero_grad()
        quadratic(theirs).backward()
        optimizer.step()
        updates, held = update(theirs_in_jax(others), held)
        others = optax.apply_updates(others, updates)
        for mine, of_torch, of_optax in zip(
            (params["a"], params["b"][0]), leaves, (others["a"], others["b"][0]), strict=True
        ):
            close(mine, of_torch.detach().numpy(), 2e-5)
            close(mine, of_optax, 1e-4)  # whose corrections lose digits in the first steps


@on_each
def test_adams_first_step_by_hand_and_its_goal(framework: str) -> None:
    here = backend(framework)
    params = array(framework, [1.0, -4.0, 2.0])
    grads = array(framework, [0.5, -3.0, 0.0])
    # Both corrected moments are the gradient and its square, so the step is the rate, whatever the gradient's size.
    moved, state = here.adam_step(here.adam_start(params), params, grads, rate=0.1)
    close(moved, [0.9, -3.9, 2.0], 1e-6)
    close(params, [1, -4, 2])
    assert int(state["step"]) == 1
    for _ in range(300):
        moved, state = here.adam_step(state, moved, 2 * (moved - 5), rate=0.1)
    close(moved, [5, 5, 5], 1e-2)


def test_adam_compiles_once_for_all_steps() -> None:
    here, count = backend("jax"), []

    def step(*given: Any) -> Any:
        count.append(1)
        return here.adam_step(*given)

    params = {"w": jnp.ones(3)}
    state, compiled = here.adam_start(params), here.jit(step)
    for _ in range(4):
        params, state = compiled(state, params, params)
    assert len(count) == 1


@on_each
def test_adam_counts_beyond_what_sixteen_bits_can(framework: str) -> None:
    here = backend(framework)
    params = convert(np.zeros(1, numpy_dtype("bfloat16")), framework)
    state = here.adam_start(params)
    state["step"] = state["step"] + 300
    moved, state = here.adam_step(state, params, params + 1, rate=1.0)
    assert int(state["step"]) == 301
    assert dtype_name(moved) == dtype_name(state["mean"]) == "bfloat16"
    lack = 0.1 / math.sqrt(0.001 / (1 - 0.999**301))
    assert abs(float(moved[0]) + lack) < 0.02 * lack


def test_adam_keeps_no_graph_of_torchs() -> None:
    params = torch.ones(2, requires_grad=True)
    moved, state = backend("torch").adam_step(backend("torch").adam_start(params), params, params * 2)
    assert not moved.requires_grad and not state["mean"].requires_grad


# what other rooms take


@on_each
def test_tokens_are_whole_numbers(framework: str) -> None:
    rows = np.array([[0, 255], [7, 9]], np.uint8)
    found = shim.tokens(rows, framework)
    assert framework_of(found) == framework
    assert dtype_name(found) == {"torch": "int64", "jax": "int32"}[framework]
    assert np.array_equal(shim.numbers(found), rows)
    assert framework_of(shim.tokens(rows)) == "torch"


@pytest.mark.parametrize("framework", [*FRAMEWORKS, "numpy"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_logarithms_of_probabilities(framework: str, dtype: str) -> None:
    logits = np.array([[1000.0, 999.0, -np.inf], [1.0, 2.0, 3.0]]).astype(numpy_dtype(dtype))
    wide = logits.astype(np.float64) - np.array([[1000.0], [3.0]])
    found = shim.log_probs(convert(logits, framework))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wide - np.log(np.exp(wide).sum(-1, keepdims=True)), rtol=1e-12)


def test_without_gradients_torch_keeps_no_graph() -> None:
    held = torch.ones(2, requires_grad=True)
    with shim.without_gradients():
        assert not (held * 2).requires_grad
    assert (held * 2).requires_grad


def test_one_thread_is_torchs_for_as_long() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with shim.one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        shim.keep_to_one_thread()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_both_backends_have_all_that_a_backend_has() -> None:
    promised = {name for name in vars(Backend) if not name.startswith("_")}
    for framework in FRAMEWORKS:
        assert promised <= {name for name in dir(backend(framework)) if not name.startswith("_")}
    assert isinstance(MissingExtraError("a", "b"), Exception)
