"""The JAX engine against truths that are not its own: weights set to zero, differences, captures, an opaque kernel."""

import re
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from conforming.on_jax import ROUNDING, Jax
from flax import linen
from jax.experimental import pallas
from test_twins import oracle
from twins import TWINS, Twin, run
from twins.baselines import capture, differences

import darklantern as dl
from darklantern.errors import SiteError
from darklantern.methods import linearise

pytestmark = pytest.mark.slow
LAYER, HEAD, NEURON = 1, 2, 37


def chosen(*names: str) -> pytest.MarkDecorator:
    twins = [next(twin for twin in TWINS if twin.name == name) for name in names]
    return pytest.mark.parametrize("twin", twins, ids=lambda twin: twin.name)


@pytest.fixture(autouse=True)
def _wide() -> Any:
    with Jax().looking():
        yield


@cache
def opened(twin: Twin) -> tuple[Any, Any]:
    """The twin with its oracle's weights, opened in float64, and inputs. Tests share what they compile for it."""
    _, module, given = oracle(twin.oracle, torch.float64)
    built, inputs = twin.build(module, np.float64), twin.inputs(given)
    return dl.open(built.module, weights=built.weights, call=built.call, example=inputs), inputs


# what an edit takes away is what weights of zero take away


def without(twin: Twin, part: str, rows: slice) -> np.ndarray[Any, Any]:
    """What the bare twin returns whose map `part`, of the oracle, takes nothing from `rows` of its input."""
    subject, _, given = oracle(twin.oracle, torch.float64)
    module = subject.build(torch.float64)
    weight = module.get_parameter(f"{part}.weight").data  # transformers' Conv1D holds (in, out), a Linear (out, in)
    (weight if twin.oracle == "gpt2" else weight.T)[rows] = 0
    return np.asarray(run(twin, twin.build(module, np.float64), twin.inputs(given)))


FAMILIES = ("gpt2-linen", "gpt2-linen-scan", "gpt2-nnx", "gpt2-nnx-scan", "gpt2-equinox", "gpt2-haiku", "llama-linen")


@chosen(*FAMILIES, "llama-nnx", "llama-equinox-scan")
def test_a_head_without_its_z_is_one_whose_rows_of_the_output_projection_are_zero(twin: Twin) -> None:
    model, inputs = opened(twin)
    size = model.record(inputs, f"layers.{LAYER}.attn:z")[f"layers.{LAYER}.attn:z"].shape[-1]
    part = "transformer.h.1.attn.c_proj" if twin.oracle == "gpt2" else "model.layers.1.self_attn.o_proj"
    truth = without(twin, part, slice(HEAD * size, (HEAD + 1) * size))
    found = model.run(inputs, {f"layers.{LAYER}.attn:z[head={HEAD}]": dl.zero()})
    close(found, truth, twin.tolerance)
    assert np.abs(np.asarray(model.run(inputs)) - truth).max() > 1e-3 * np.abs(truth).max()


@chosen(*FAMILIES, "llama-nnx", "llama-equinox-scan")
def test_a_neuron_set_to_zero_is_one_whose_row_of_the_down_projection_is_zero(twin: Twin) -> None:
    model, inputs = opened(twin)
    part = "transformer.h.1.mlp.c_proj" if twin.oracle == "gpt2" else "model.layers.1.mlp.down_proj"
    truth = without(twin, part, slice(NEURON, NEURON + 1))
    found = model.run(inputs, {f"layers.{LAYER}.mlp:neurons[neuron={NEURON}]": dl.zero()})
    close(found, truth, twin.tolerance)
    assert np.abs(np.asarray(model.run(inputs)) - truth).max() > 1e-5 * np.abs(truth).max()


def close(found: Any, truth: Any, tolerance: float) -> None:
    """Within `tolerance` of the largest value."""
    np.testing.assert_allclose(np.asarray(found), truth, rtol=0, atol=tolerance * np.abs(truth).max())


# gradients are what small steps do


@chosen("gpt2-linen", "gpt2-nnx-scan", "gpt2-equinox-scan", "gpt2-haiku", "llama-linen")
def test_gradients_at_every_port_are_central_differences(twin: Twin) -> None:
    model, inputs = opened(twin)
    ports = [f"layers.{LAYER}.attn:{port}" for port in ("q", "k", "v", "scores", "z")]
    sites = [*ports, f"layers.{LAYER}.mlp:pre", f"layers.{LAYER}.norm2:scale", "norm:scale"]
    metric = lambda output: jnp.sum(jnp.sin(output))  # noqa: E731
    found = model.gradient(inputs, metric, *sites)
    generator = np.random.default_rng(3)
    # One function for all sites, with steps of nothing at all but one: to compile is what takes long.
    moved = jax.jit(lambda steps: metric(model.run(inputs, {site: dl.add(step) for site, step in steps.items()})))
    none = {site: jnp.zeros_like(found.values[site].array) for site in sites}
    for site in sites:
        value, gradient = found.values[site].array, np.asarray(found.gradients[site].array)
        step = 1e-4 * generator.normal(size=value.shape)
        up, down = (float(moved(none | {site: sign * step})) for sign in (1, -1))
        assert (up - down) / 2 == pytest.approx(float((gradient * step).sum()), rel=1e-5, abs=1e-10), site
        assert np.abs(gradient).max() > 1e-6, site


def test_gradients_work_within_jit_vmap_and_grad() -> None:
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 4)))
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 4)))

    def net(weights: Any, x: Any) -> Any:
        def body(x: Any, w: Any) -> Any:
            with dl.part("layers.*"):
                return dl.tag("out", jnp.tanh(x @ w)), None

        return jax.lax.scan(body, x, weights)[0]

    def behind(mid: Any) -> Any:
        return jnp.sum(jnp.tanh(jnp.tanh(mid @ weights[1]) @ weights[2]))

    def truth(x: Any) -> Any:
        return jax.grad(behind)(jnp.tanh(x @ weights[0]))

    model, site = dl.open(net, weights=weights, example=x), "layers.0:out"

    def found(x: Any) -> tuple[Any, Any]:
        made = model.gradient(x, jnp.sum, site)
        assert "metric" in repr(made)
        return made.metric, made.gradients[site].array

    assert isinstance(found(x)[0], float)
    metric, gradient = jax.jit(found)(x)
    np.testing.assert_allclose(metric, behind(jnp.tanh(x @ weights[0])), rtol=1e-12)
    np.testing.assert_allclose(gradient, truth(x), rtol=1e-9)
    several = jnp.stack([x, 2 * x, -x])
    np.testing.assert_allclose(jax.vmap(found)(several)[1], jax.vmap(truth)(several), rtol=1e-9)
    curved = jax.grad(lambda x: jnp.sum(found(x)[1] ** 2))(x)
    np.testing.assert_allclose(curved, jax.grad(lambda x: jnp.sum(truth(x) ** 2))(x), rtol=1e-9)

    def carried_back(x: Any) -> Any:
        made = model.vjp(x, {"layers.2:out": jnp.ones_like(x)}, site)
        return made.metric, made.gradients[site].array

    np.testing.assert_allclose(jax.jit(carried_back)(x)[1], truth(x), rtol=1e-9)


# what the frameworks' own tools see

CAPTURED = [twin.name for twin in TWINS if twin.framework in ("linen", "nnx") or twin.name == "gpt2-haiku"]


@chosen(*CAPTURED)
def test_every_module_returns_what_its_frameworks_own_capture_has(twin: Twin) -> None:
    _, module, given = oracle(twin.oracle, torch.float64)
    inputs = twin.inputs(given)
    captured = capture(twin, twin.build(module, np.float64), inputs)
    model, inputs = opened(twin)
    sites = [replace(site, call="*") for site in model.sites("**:out")]
    rows: dict[str, list[tuple[str, Any]]] = {}
    recording = model.record(inputs, *sites)
    for site in sites:
        own = (site.native or site.path.removeprefix("/")).replace(".attend", ":attend")
        name = own if own in captured else re.sub(r"\.\d+", "", own, count=1)  # a scan's layers, stacked
        rows.setdefault(name, []).append((own, recording[site].array))
    if twin.framework == "haiku":
        rows.pop("")  # the function around the modules
    found = {}
    for name, calls in captured.items():
        stacked = rows[name][0][0] != name
        values = [jnp.concatenate([value for _, value in rows[name]])] if stacked else list(rows[name][0][1])
        assert len(values) == len(calls)
        found |= {f"{name}#{number}": value for number, value in enumerate(values)}
    expected = {f"{name}#{n}": _first(call) for name, calls in captured.items() for n, call in enumerate(calls)}
    assert rows.keys() == captured.keys()
    assert not differences(found, expected, ROUNDING if twin.tolerance < 1e-8 else twin.tolerance)


def _first(value: Any) -> Any:
    """What a module returned, of several values the first: a scan's body returns more than what it carries."""
    return value[0] if isinstance(value, tuple | list) else value


# an attention whose inside nobody sees


def _kernel(q_ref: Any, k_ref: Any, v_ref: Any, out_ref: Any) -> None:
    scores = jnp.einsum("bqhd,bkhd->bhqk", q_ref[...], k_ref[...])
    weights = jnp.exp(scores - scores.max(-1, keepdims=True))
    out_ref[...] = jnp.einsum("bhqk,bkhd->bqhd", weights / weights.sum(-1, keepdims=True), v_ref[...])


def by_pallas(q: Any, k: Any, v: Any) -> Any:
    shape = jax.ShapeDtypeStruct(q.shape, q.dtype)
    return pallas.pallas_call(_kernel, out_shape=shape, interpret=True)(q, k, v)


def by_callback(q: Any, k: Any, v: Any) -> Any:
    def attention(q: Any, k: Any, v: Any) -> Any:
        weights = np.exp(np.einsum("bqhd,bkhd->bhqk", q, k))
        return np.einsum("bhqk,bkhd->bqhd", weights / weights.sum(-1, keepdims=True), v)

    return jax.pure_callback(attention, jax.ShapeDtypeStruct(q.shape, q.dtype), q, k, v)


class Attention(linen.Module):
    kernel: Any

    @linen.compact
    def __call__(self, x: Any) -> Any:
        dense = partial(linen.DenseGeneral, (2, 3), param_dtype=x.dtype)
        q, k, v = (dense(name=name)(x) for name in ("query", "key", "value"))
        return linen.DenseGeneral(6, axis=(-2, -1), param_dtype=x.dtype, name="out")(self.kernel(q, k, v))


class Block(linen.Module):
    kernel: Any

    @linen.compact
    def __call__(self, x: Any) -> Any:
        x = x + Attention(self.kernel, name="attn")(x)
        return x + linen.Dense(6, param_dtype=x.dtype, name="mlp")(x)


class Net(linen.Module):
    kernel: Any

    @linen.compact
    def __call__(self, x: Any) -> Any:
        for number in range(2):
            x = Block(self.kernel, name=f"block_{number}")(x)
        return x


@pytest.mark.parametrize("kernel", [by_pallas, by_callback])
@pytest.mark.parametrize("site", ["/block_1.attn:pattern", "layers.1.attn:scores", "/block_1.attn:z[head=1]"])
def test_an_opaque_kernel_is_said_to_be_one_and_shows_what_goes_in_and_out(kernel: Any, site: str) -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 6)))
    module = Net(kernel)
    weights = module.init(jax.random.key(0), x)
    model = dl.open(module, weights=weights, example=x)
    for ask in (
        lambda: model.record(x, site),
        lambda: model.run(x, {site: dl.zero()}),
        lambda: model.sites(site),
        lambda: linearise(model, {"attention"}),
    ):
        with pytest.raises(SiteError) as caught:
            ask()
        assert "opaque kernel" in caught.value.hint
    inside = model.record(x, "layers.0.attn:{in,out}")
    np.testing.assert_allclose(inside["layers.0.attn:in"].array, x)
    own = Attention(kernel).apply({"params": weights["params"]["block_0"]["attn"]}, x)
    np.testing.assert_allclose(inside["layers.0.attn:out"].array, own, rtol=1e-9)
