"""torch and JAX, held against each other: the same weights give the same values, edits and gradients at every port.

Tight in float64, within 1e-4 of the largest value in float32. The hand-written passes of the conformance suite are the
truth for both; here is what they leave out: every kind of edit, functions of one's own, vjp and jvp, and float32.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from conforming.on_jax import Jax
from conforming.subject import can_move, logits, one_of_each_kind
from oracles import SUBJECTS, cast
from twins import TWINS, Twin, wide

from darklantern import models
from darklantern.models import edits, shim
from darklantern.models.opened import Model
from darklantern.models.recording import Value
from darklantern.models.sites import parse

pytestmark = pytest.mark.slow  # JAX compiles each plan
Array = np.ndarray[Any, Any]
NAMES = (
    "gpt2-linen-named", "gpt2-nnx-scan", "gpt2-equinox-scan", "gpt2-haiku-stack",
    "llama-linen", "llama-nnx", "llama-equinox-scan",
    "cnn-linen", "cnn-equinox",
)  # fmt: skip
CASES = [(name, np.float64) for name in NAMES]
CASES += [(name, np.float32) for name in ("gpt2-linen-named", "llama-equinox-scan", "cnn-linen")]


class Pair(NamedTuple):
    """A torch model and its twin, with two batches for each."""

    twin: Twin
    dtype: Any
    theirs: Model
    ours: Model
    inputs: tuple[Any, Any]
    """torch's"""
    twins_inputs: tuple[Any, Any]

    @property
    def tolerance(self) -> float:
        """Of the largest value. torch's Llama takes its norms in float32 whatever it is given."""
        return 1e-4 if self.dtype == np.float32 else 2e-6 if self.twin.oracle == "llama" else 1e-9

    @property
    def has_images(self) -> bool:
        return self.twin.oracle == "cnn"

    def close(self, ours: Any, theirs: Any, site: str = "output") -> None:
        found, true = Jax().numbers(ours), self.twin.placed(site.partition("[")[0], theirs.detach().numpy())
        # Some kernels take a norm or a softmax in float32, and indices have half the bits outside of the wide mode.
        assert (found.shape, found.dtype.kind) == (true.shape, true.dtype.kind), site
        largest = np.abs(np.where(np.isinf(true), 0, true)).max()
        np.testing.assert_allclose(found, true, rtol=0, atol=self.tolerance * max(largest, 1e-3), err_msg=site)

    def run(self, change: Callable[[Model, Callable[[Array], Any]], Any], what: str) -> None:
        """The output of both under the edits that `change` makes for each."""
        true = self.theirs.run(self.inputs[0], change(self.theirs, torch.from_numpy))
        ours = self.ours.run(self.twins_inputs[0], change(self.ours, jnp.asarray))
        assert not np.allclose(true_of(true), self.plain, rtol=0, atol=1e-9), f"{what} changes nothing"
        self.close(logits(ours), logits(true), what)

    @property
    def plain(self) -> Array:
        return true_of(self.theirs.run(self.inputs[0]))


def true_of(output: Any) -> Array:
    found: Array = logits(output).detach().numpy()
    return found


@cache
def opened(name: str, dtype: Any) -> Pair:
    twin = next(each for each in TWINS if each.name == name)
    oracle = next(each for each in SUBJECTS if each.name == twin.oracle)
    kind = torch.float64 if dtype == np.float64 else torch.float32
    module = oracle.build(kind)
    batches = []
    for seed in (0, 1):
        given = cast(oracle.inputs(seed), kind)
        if isinstance(given, dict):  # without padding, of which kernels make different things
            given = given | {"attention_mask": torch.ones_like(given["attention_mask"])}
        batches.append(given)
    built, inputs = twin.build(module, dtype), tuple(map(twin.inputs, batches))
    ours = models.open(built.module, weights=built.weights, call=built.call, example=inputs[0])
    return Pair(twin, dtype, models.open(module), ours, tuple(batches), inputs)


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1].__name__}")
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    name, dtype = request.param
    with wide() if dtype == np.float64 else nullcontext(), torch.no_grad():
        yield opened(name, dtype)


CANONICAL = re.compile(r"(embed|norm|unembed|layers\.\d+(\.(attn|mlp|norm1|norm2))?):.*")
OF_IMAGES = re.compile(r"(conv|bn|mix|fc|block(\.(conv|bn)\d)?):.*")


def documented(pair: Pair) -> list[str]:
    """The sites that torch has under names that both share; parts below them are called as each likes."""
    known = OF_IMAGES if pair.has_images else CANONICAL
    return [str(site) for site in pair.theirs.sites("**:*") if known.fullmatch(str(site))]


def shared(pair: Pair) -> list[str]:
    """Those that the twin has too; of parts that are called twice, both calls."""
    ours = {str(site) for site in pair.ours.sites("**:*")}
    return [each for site in documented(pair) if site in ours for each in called(site)]


def called(site: str) -> list[str]:
    path, _, port = site.partition(":")
    return [f"{path}#{call}:{port}" for call in (0, 1)] if path == "mix" else [site]


def test_every_port_holds_the_same_numbers(pair: Pair) -> None:
    sites = shared(pair)
    true, found = pair.theirs.record(pair.inputs[0], *sites), pair.ours.record(pair.twins_inputs[0], *sites)
    assert list(found) == list(true)
    for site in true:
        pair.close(found[site].array, true[site].array, site)
        if not pair.has_images:
            assert found[site].axes == true[site].axes, site
    pair.close(logits(found.output), logits(true.output))


def test_what_torch_has_under_shared_names_the_twin_has(pair: Pair) -> None:
    ours = {str(site) for site in pair.ours.sites("**:*")}
    missing = [site for site in documented(pair) if site not in ours and not pair.twin.lacking(site)]
    assert not missing
    assert len(shared(pair)) > (18 if pair.has_images else 40)


def twice(value: Any) -> Any:
    """A function of one's own, written once."""
    xp = shim.namespace(value)
    return 2 * xp.tanh(value) + xp.mean(value, axis=0, keepdims=True)


def of_text(pair: Pair) -> dict[str, tuple[str, Callable[..., Any]]]:
    """For each kind of edit a site, and what makes the edit: of (model, NumPy → its arrays, inputs of another run)."""
    dim = pair.theirs.record(pair.inputs[0], "layers.1:out")["layers.1:out"].shape[-1]
    one, two = (normal(pair, dim, seed=seed) for seed in (1, 2))
    z = "layers.1.attn:z"
    return {
        "zero": (f"{z}[head=1]", lambda *_: edits.zero()),
        "mean": ("layers.1.mlp:out", lambda *_: edits.mean()),
        "mean of a recording": (z, lambda model, _, other: edits.mean(model.record(other, z))),
        "resample": ("layers.0:resid_mid", lambda *_: edits.resample(3)),
        "scale": ("layers.1.attn:pattern[head={0,2}]", lambda *_: edits.scale(0.5)),
        "scale by numbers": ("layers.1:out", lambda _, array, __: edits.scale(array(one))),
        "add": ("layers.1:out[pos=-1]", lambda _, array, __: edits.add(array(one), scale=-2.0)),
        "add with norm": ("layers.0:out[pos=1:4]", lambda _, array, __: edits.add(array(one), norm=0.7)),
        "project": ("layers.1:in", lambda _, array, __: edits.project(array(np.stack([one, two])))),
        "project, keep": ("norm:in", lambda _, array, __: edits.project(array(one), keep=True)),
        "put": ("layers.1.attn:out[pos={0,2}]", lambda _, array, __: edits.put(array(one))),
        "take": (f"{z}[pos=2]", lambda model, _, other: edits.take(model.record(other, z))),
        "take from another site": (
            "layers.1:in", lambda model, _, other: edits.take(model.record(other, "layers.0:in"), "layers.0:in")
        ),
        "a function": ("layers.1.mlp:neurons", lambda *_: twice),
        "several": ("layers.0.norm2:scale", lambda *_: [edits.scale(1.5), lambda value: value + 0.1]),
    }  # fmt: skip


def of_images(pair: Pair) -> dict[str, tuple[str, Callable[..., Any]]]:
    """As `of_text`, but for what goes along the last axis, which is channels on JAX and the width on torch."""
    site = "block:out"

    def along(array: Callable[[Array], Any], seed: int) -> Value:
        return Value(parse(site), array(normal(pair, 6, seed=seed)), ("channel",))

    return {
        "zero": (f"{site}[channel=1]", lambda *_: edits.zero()),
        "mean": (site, lambda *_: edits.mean()),
        "mean of a recording": (site, lambda model, _, other: edits.mean(model.record(other, site))),
        "resample": ("conv:out", lambda *_: edits.resample(3)),
        "scale by names": (site, lambda _, array, __: edits.scale(along(array, 1))),
        "add by names": (site, lambda _, array, __: edits.add(along(array, 2), scale=-2.0)),
        "put by names": (f"{site}[height=2]", lambda _, array, __: edits.put(along(array, 3))),
        "take": (f"{site}[width=0:2]", lambda model, _, other: edits.take(model.record(other, site))),
        "a function": ("mix#1:out", lambda *_: twice),
        "project": ("fc:out", lambda _, array, __: edits.project(array(normal(pair, 5, seed=4)))),
        "add with norm": ("fc:out", lambda _, array, __: edits.add(array(normal(pair, 5, seed=4)), norm=0.7)),
    }  # fmt: skip


def normal(pair: Pair, *shape: int, seed: int) -> Array:
    found: Array = np.random.default_rng(seed).normal(size=shape).astype(pair.dtype)
    return found


def test_every_kind_of_edit_does_the_same(pair: Pair) -> None:
    others = {id(pair.theirs): pair.inputs[1], id(pair.ours): pair.twins_inputs[1]}
    for name, (site, make) in (of_images if pair.has_images else of_text)(pair).items():
        made = lambda model, array, site=site, make=make: {site: make(model, array, others[id(model)])}  # noqa: E731
        pair.run(made, f"{name} at {site}")


def test_a_stopped_gradient_changes_no_number(pair: Pair) -> None:
    site = "block:out" if pair.has_images else "layers.1:out"
    true = pair.theirs.run(pair.inputs[0], {site: edits.stop_gradient()})
    assert np.array_equal(true_of(true), pair.plain)
    pair.close(logits(pair.ours.run(pair.twins_inputs[0], {site: edits.stop_gradient()})), logits(true))


def test_gradients_are_the_same_at_every_port_and_under_edits(pair: Pair) -> None:
    values = {site: value.array.numpy() for site, value in pair.theirs.record(pair.inputs[0], *shared(pair)).items()}
    sites = one_of_each_kind(site for site, value in values.items() if can_move(site, value))
    weights = normal(pair, *pair.plain.shape, seed=7)
    stopped, scaled = ("conv:out", "block.conv2:out") if pair.has_images else ("layers.0.attn:out", "layers.0.mlp:out")
    for change in ({}, {stopped: edits.stop_gradient(), scaled: edits.scale(0.5)}):
        with torch.enable_grad():
            true = pair.theirs.gradient(
                pair.inputs[0], lambda output: (logits(output) * torch.from_numpy(weights)).sum(), *sites, edits=change
            )
        found = pair.ours.gradient(
            pair.twins_inputs[0], lambda output: (logits(output) * jnp.asarray(weights)).sum(), *sites, edits=change
        )
        assert found.metric == pytest.approx(true.metric, rel=1e-4, abs=10 * pair.tolerance)
        assert list(found.gradients) == list(true.gradients)
        for site in sites:
            ours, theirs = found.gradients[site].array, true.gradients[site].array
            pair.close(jnp.nan_to_num(ours), torch.nan_to_num(theirs), site)
            pair.close(found.values[site].array, true.values[site].array, site)


def test_vjp_and_jvp_are_the_same(pair: Pair) -> None:
    early, late = ("conv:out", "mix#1:out") if pair.has_images else ("layers.0:in", "layers.1.attn:z")
    shapes = {site: pair.theirs.record(pair.inputs[0], site)[site].shape for site in (early, late)}
    cotangent, tangent = normal(pair, *shapes[late], seed=8), normal(pair, *shapes[early], seed=9)
    with torch.enable_grad():
        true = pair.theirs.vjp(pair.inputs[0], {late: torch.from_numpy(cotangent)}, early)
    found = pair.ours.vjp(pair.twins_inputs[0], {late: jnp.asarray(pair.twin.placed(late, cotangent))}, early)
    pair.close(found.gradients[early].array, true.gradients[early].array, early)
    # Asked for too, the cotangent's own site gives it back, and what is earlier stays the same.
    mine, theirs = (
        model.vjp(inputs, {late: at_late}, early, late).gradients
        for model, inputs, at_late in (
            (pair.ours, pair.twins_inputs[0], jnp.asarray(pair.twin.placed(late, cotangent))),
            (pair.theirs, pair.inputs[0], torch.from_numpy(cotangent)),
        )
    )
    pair.close(mine[early].array, true.gradients[early].array, early)
    pair.close(mine[early].array, theirs[early].array, early)
    pair.close(mine[late].array, torch.from_numpy(cotangent), late)
    np.testing.assert_array_equal(theirs[late].array, cotangent)
    forward = pair.theirs.jvp(pair.inputs[0], {early: torch.from_numpy(tangent)}, late, ":out")
    ours = pair.ours.jvp(pair.twins_inputs[0], {early: jnp.asarray(pair.twin.placed(early, tangent))}, late, ":out")
    for site in (late, ":out"):
        pair.close(ours[site].array, forward[site].array, site)
