"""Sweeps on JAX: the same tables as torch's on the same weights, from a handful of compiled functions."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from frameworks import Engine, Numbers, engine, engines, logits, normal, tokens
from subjects import gpt2, llama
from torch import nn
from twins import wide
from words import LONG, SWAPPED, Words

import darklantern as dl
from darklantern import models
from darklantern.errors import SiteError
from darklantern.methods import Sweep, patch, sweep
from darklantern.models import parse
from darklantern.models.on_jax import running
from darklantern.models.opened import Model

__all__ = ["engine"]
pytestmark = pytest.mark.slow
on_jax = engines("gpt2-linen", "gpt2-nnx-scan", "gpt2-equinox-scan", "gpt2-haiku-stack")
BLOCKS = ["layers.*:out", "layers.*.attn:z", "layers.*.mlp:out", "norm:out"]


def last(output: Any) -> Any:
    return logits(output)[:, -1, 3].mean() - logits(output)[0, -1, 5]


def assert_same(found: Sweep, true: Sweep, within: float = 1e-9) -> None:
    assert (found.sites, found.axis, found.indices, found.tokens) == (true.sites, true.axis, true.indices, true.tokens)
    assert (found.clean, found.corrupt) == pytest.approx((true.clean, true.corrupt), abs=within)
    np.testing.assert_allclose(found.array, true.array, rtol=0, atol=within)


@torch.no_grad()
def of_torch(module: nn.Module, inputs: tuple[Numbers, Numbers], sites: list[Any], **more: Any) -> Sweep:
    clean, corrupt = map(torch.from_numpy, inputs)
    return sweep(models.open(module), clean, corrupt, sites, last, **more)


@on_jax
def test_sweeps_over_positions_and_heads_are_torchs(engine: Engine) -> None:
    module, (clean, corrupt) = gpt2(2).double(), (tokens(pos=4, seed=1), tokens(pos=4, seed=2))
    model = engine.open(module, clean)
    inputs = engine.array(clean), engine.array(corrupt)
    for sites, at_once, more in (
        (BLOCKS, 1, {}),
        (BLOCKS, 3, {}),
        (["layers.*:in"], 2, {"positions": [3, -2]}),
        (["layers.*.attn:z[head=*]"], 4, {}),
        (["layers.1.attn:pattern[head=*,pos=-1]"], 1, {}),
        (["layers.1.attn:z[head=*,pos=*]"], 4, {}),
        ([parse("layers.1.attn:z[head=*]").at(pos=(3, 2))], 3, {}),
    ):
        true = of_torch(module, (clean, corrupt), sites, **more)
        assert_same(sweep(model, *inputs, sites, last, at_once=at_once, **more), true)


@engines("gpt2-linen-scan", "gpt2-haiku")
def test_several_sites_patched_together_are_torchs(engine: Engine) -> None:
    module, (clean, corrupt) = gpt2().double(), (tokens(pos=5, seed=1), tokens(pos=5, seed=2))
    sites = [parse("layers.0:out[pos=3]"), parse("layers.2.attn:z[head=1]"), parse("layers.1.mlp:post[neuron={3,5}]")]

    def patched(model: Model, inputs: list[Any]) -> float:
        return patch(model, inputs[1], model.record(inputs[0], *(site.whole for site in sites)), sites, last)

    with torch.no_grad():
        true = patched(models.open(module), [torch.from_numpy(each) for each in (clean, corrupt)])
    model = engine.open(module, clean)
    assert patched(model, [engine.array(clean), engine.array(corrupt)]) == pytest.approx(true, abs=1e-9)


@engines("llama-linen", "llama-equinox-scan")
def test_prompts_have_their_tokens_and_their_padding_as_on_torch(engine: Engine) -> None:
    module = llama().double()
    theirs = models.open(module, Words())
    example = {name: value.numpy() for name, value in theirs.batch([LONG]).items()}
    ours = engine.open(module, example, Words())
    metric = lambda output: logits(output)[0, -1, 2] - logits(output)[-1, 3, 4]  # noqa: E731
    for clean, corrupt, sites, more in (
        ([LONG], [SWAPPED], ["layers.*:out"], {}),
        ([LONG, "When Anna and John"], [SWAPPED, "When John and Anna"], ["layers.*:out"], {}),
        ([LONG, "When Anna and John"], [SWAPPED, "When John and Anna"], ["layers.*.attn:z"], {"positions": [1, -1]}),
    ):
        with torch.no_grad():
            true = sweep(theirs, clean, corrupt, sites, metric, **more)
        for at_once in (1, 3):
            # torch's norms compute in float32 here.
            assert_same(sweep(ours, clean, corrupt, sites, metric, at_once=at_once, **more), true, 1e-4)
    with pytest.raises(SiteError, match="so positions do not correspond"):
        ours.batch("When Mary left", align="When Mary and John left")


@engines("cnn-linen")
def test_images_are_swept_over_channels_where_the_framework_has_them(engine: Engine) -> None:
    from oracles import SUBJECTS

    module = next(each for each in SUBJECTS if each.name == "cnn").build(torch.float64)
    clean, corrupt = (normal(1, 3, 8, 8, seed=seed) for seed in (1, 2))
    metric = lambda output: output[0, 1]  # noqa: E731
    with torch.no_grad():
        true = sweep(models.open(module), *map(torch.from_numpy, (clean, corrupt)), ["conv:out[channel=*]"], metric)
    ours = [np.ascontiguousarray(each.transpose(0, 2, 3, 1)) for each in (clean, corrupt)]
    model = engine.open(module, ours[0])
    found = sweep(model, *map(engine.array, ours), ["conv:out[channel=*]"], metric, at_once=6)
    assert_same(found, true)


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A number for each time that JAX traces a run, to compile it."""
    made, core = [], running.core

    def counted(*args: Any) -> Callable[..., Any]:
        function = core(*args)
        return lambda *arrays: (made.append(1), function(*arrays))[1]

    monkeypatch.setattr(running, "core", counted)
    yield made


def test_one_compiled_function_serves_all_layers_of_a_scan_and_all_positions(traces: list[int]) -> None:
    engine = engines("gpt2-linen-scan").args[1][0].values[0]
    counts = {}
    with wide():
        for layers, positions, at_once in ((2, 3, 1), (5, 6, 1), (5, 6, 3)):
            clean, corrupt = tokens(pos=6, seed=1), tokens(pos=6, seed=2)
            model = engine.open(gpt2(layers).double(), clean)
            inputs = engine.array(clean), engine.array(corrupt)
            traces.clear()
            found = sweep(model, *inputs, ["layers.*:out"], last, range(positions), at_once=at_once)
            assert found.array.shape == (layers, positions)
            counts[layers, positions, at_once] = len(traces)
    # The clean run, the starts, the corrupt run, and a patch at a block's entrance or at the last one's output.
    assert set(counts.values()) == {5}, counts


class Stack:
    """Layers that read the position before, scanned over; what else reads them is said by `besides`."""

    def __init__(self, besides: str = "", layers: int = 4) -> None:
        self.besides = besides
        self.weights = {"w": jnp.array(normal(layers, 8, 8, seed=1) / 3), "head": jnp.array(normal(8, 2, seed=2))}

    def __call__(self, weights: Any, x: Any) -> Any:
        def body(carried: Any, w: Any) -> Any:
            x, first = carried
            with dl.part("layers.*"):
                x = dl.tag("in", x)
                x = x + jnp.tanh(jnp.roll(x, 1, 1) @ w)
                if self.besides == "callback":
                    x = x + jax.pure_callback(lambda each: np.asarray(each) * 0, x, x)
                if self.besides == "examples":
                    x = x - 0.5 * x.mean(0)
                x = dl.tag("out", x)
            first = first + x if self.besides == "sum" else first
            return (x, first), x.mean((1, 2)) if self.besides == "rows" else None

        (x, first), rows = jax.lax.scan(body, (x, jnp.zeros_like(x)), weights["w"])
        out = (x + first) @ weights["head"]
        return out if rows is None else out + rows.sum(0)[:, None, None]


@pytest.mark.parametrize("besides", ["", "sum", "rows", "examples", "callback"])
@pytest.mark.parametrize("at_once", [1, 5])
def test_a_patch_reaches_all_that_reads_it_and_no_other_patch(besides: str, at_once: int) -> None:
    with wide():
        stack = Stack(besides)
        clean, corrupt = (jnp.array(normal(2, 5, 8, seed=seed)) for seed in (3, 4))
        model = models.open(stack, weights=stack.weights, example=clean)
        source = model.record(clean, "layers.*:{in,out}")
        metric = lambda output: output[:, -1, 0].mean()  # noqa: E731
        found = sweep(model, clean, corrupt, ["layers.*:out", "layers.*:in"], metric, at_once=at_once)
        for row, site in enumerate(found.sites):
            for position in range(5):
                whole = model.run(corrupt, {site.at(pos=position): dl.take(source)})
                truth = (float(metric(whole)) - found.corrupt) / (found.clean - found.corrupt)
                assert found.array[row, position] == pytest.approx(truth, abs=1e-9), site
        pairs = {parse(f"layers.{i}:out"): parse(f"layers.{i + 1}:in") for i in range(3)}
        assert model.handed_on(corrupt, source, pairs) == ({} if besides in ("sum", "rows") else pairs)


def tagged(scanned: bool) -> Any:
    """Layers of a plain function whose code names what they return, and not what goes in; a weight each."""

    def layer(x: Any, w: Any) -> Any:
        return dl.tag("out", x + jnp.tanh(jnp.roll(x, 1, 1) @ w))

    def body(x: Any, w: Any) -> Any:
        with dl.part("layers.*"):
            return layer(x, w), None

    def function(weights: Any, x: Any) -> Any:
        if scanned:
            return jax.lax.scan(body, x, weights)[0]
        for number in range(len(weights)):
            with dl.part(f"layers.{number}"):
                x = layer(x, weights[number])
        return x

    return function


@pytest.mark.parametrize("scanned", [False, True])
@pytest.mark.parametrize("at_once", [1, 4])
def test_blocks_whose_entrance_nobody_named_are_swept_in_whole_runs(scanned: bool, at_once: int) -> None:
    with wide():
        weights = jnp.array(normal(3, 6, 6, seed=1) / 2)
        clean, corrupt = (jnp.array(normal(2, 4, 6, seed=seed)) for seed in (3, 4))
        model = models.open(tagged(scanned), weights=weights, example=clean)
        assert {site.port for site in model.sites("layers.*:*")}.isdisjoint({"in"})
        found = sweep(model, clean, corrupt, ["layers.*:out"], lambda output: output[:, -1, 0].sum(), at_once=at_once)

        def stream(x: Any, first: int) -> list[Any]:
            """What each layer from `first` on returns, by hand."""
            made = [x]
            for w in weights[first:]:
                made.append(made[-1] + jnp.tanh(jnp.roll(made[-1], 1, 1) @ w))
            return made[1:]

        kept, plain = stream(clean, 0), stream(corrupt, 0)
        low, high = (float(each[-1][:, -1, 0].sum()) for each in (plain, kept))
        for layer in range(3):
            for position in range(4):
                patched = plain[layer].at[:, position].set(kept[layer][:, position])
                value = float([patched, *stream(patched, layer + 1)][-1][:, -1, 0].sum())
                assert found.array[layer, position] == pytest.approx((value - low) / (high - low), abs=1e-9)
