"""`linearise`: ground truths G9 (a linear net: gradients are exact) and G11 (a frozen model is affine)."""

from collections.abc import Callable
from typing import Any

import linear_nets
import numpy as np
import pytest
import torch
from frameworks import GPT2, Engine, Numbers, engine, engines, logits, normal
from frameworks import tokens as tokens_of
from small_transformers import gpt2, llama
from torch import Tensor, nn

from darklantern import models
from darklantern.errors import SiteError
from darklantern.methods import linearise
from darklantern.models import edits
from darklantern.models.on_torch.opened import Model

__all__ = ["engine"]
sites = Model.sites
ALL = ("attention", "norm", "activation")


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(0, 50, (2, 7), generator=torch.Generator().manual_seed(5))


@engines("torch", "linen", "nnx", "equinox", "haiku")
def test_g9_in_a_linear_net_gradients_give_the_exact_effect_of_every_patch(engine: Engine) -> None:
    model = linear_nets.opened(engine)
    clean, corrupt, weight = (engine.array(normal(1, 5, 6, seed=seed)) for seed in (20, 21, 22))

    def metric(output: Any) -> Any:
        return (output * weight).sum()

    sites = [f"layers.{i}.{part}:out" for i in range(3) for part in ("v", "up", "down")]
    there = model.record(clean, *sites)
    with engine.differentiating():
        at_corrupt, at_clean = (model.gradient(inputs, metric, *sites) for inputs in (corrupt, clean))
    with pytest.raises(SiteError, match="no port 'pattern'"):
        linearise(model, {"attention"})
    before = float(metric(model.run(corrupt)))
    for site in sites:
        exact = float(metric(model.run(corrupt, {site: edits.take(there)}))) - before
        step = engine.numbers(there[site].array) - engine.numbers(at_corrupt.values[site].array)
        for gradients in (at_corrupt, at_clean):  # and so the integral over the path between is the same
            found = (engine.numbers(gradients.gradients[site].array) * step).sum()
            assert float(found) == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize("build", [gpt2, llama])
def test_freezing_leaves_every_bit_of_the_output(build: Callable[[], nn.Module], tokens: Tensor) -> None:
    module = build()
    for freeze in (("attention",), ("norm",), ("activation",), ALL):
        assert torch.equal(linearise(models.open(module), freeze).run(tokens).logits, module(tokens).logits)


@engines("gpt2-linen", "gpt2-equinox-scan")
def test_on_jax_freezing_leaves_the_output_as_it_is_up_to_rounding(engine: Engine) -> None:
    model, inputs = engine.open(gpt2(), numbered()), engine.array(numbered())
    plain = engine.numbers(model.run(inputs))
    for freeze in (("attention",), ("norm",), ("activation",), ALL):
        found = engine.numbers(linearise(model, freeze).run(inputs))
        np.testing.assert_allclose(found, plain, rtol=0, atol=1e-12 * np.abs(plain).max())


@engines(*GPT2)
def test_g11_a_frozen_model_is_affine_around_its_input(engine: Engine) -> None:
    model, inputs = engine.open(gpt2(), numbered()), engine.array(numbered())
    frozen = linearise(model, ALL)
    here = model.record(inputs, "layers.0:in", "**:{pattern,scale,slope}")
    held = {site: edits.take(here) for site in here.sites if site.port != "in"}
    # The same nonlinearities, their values written down at `inputs` and put in wherever we go: truly affine.
    start, step = here["layers.0:in"].array, engine.array(normal(2, 7, 32, seed=6))

    def at(distance: float) -> Numbers:
        changed = {**held, "layers.0:in": edits.add(step, scale=distance)}
        return engine.numbers(logits(model.run(inputs, changed)))

    def along(tangent: Any) -> Numbers:
        return engine.numbers(frozen.jvp(inputs, {"layers.0:in": tangent}, ":out")[":out"].array)

    equal(at(1.0) - at(0.0), at(5.0) - at(4.0))
    moved = along(step)
    equal(moved, at(1.0) - at(0.0))
    # f = J·x + bias, the bias being what is left at x = 0.
    bias = engine.numbers(logits(model.run(inputs, {**held, "layers.0:in": edits.zero()})))
    equal(along(start) + bias, engine.numbers(logits(here.output)))
    # And backwards: the gradient of one logit is the row of that same J.
    with engine.differentiating():
        one = frozen.gradient(inputs, lambda output: logits(output)[1, -1, 7], "layers.0:in")
    row = engine.numbers(one.gradients["layers.0:in"].array)
    assert float((row * engine.numbers(step)).sum()) == pytest.approx(float(moved[1, -1, 7]), abs=1e-10)


def equal(found: Numbers, true: Numbers) -> None:
    np.testing.assert_allclose(found, true, atol=1e-10, rtol=1e-10)


def numbered() -> Numbers:
    return tokens_of(2, 7)


def test_without_freezing_the_same_model_is_not_affine(tokens: Tensor) -> None:
    model = models.open(gpt2())
    step = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(6))
    plain, frozen = (
        each.jvp(tokens, {"layers.0:in": step.double()}, "unembed:out")["unembed:out"].array
        for each in (model, linearise(model, ALL))
    )
    assert not torch.allclose(plain, frozen, rtol=1e-2)


def test_what_cannot_be_frozen_is_named() -> None:
    with pytest.raises(SiteError, match="cannot freeze heads"):
        linearise(models.open(gpt2()), {"heads"})


def test_a_text_in_place_of_kinds_is_refused_as_one() -> None:
    with pytest.raises(SiteError, match="expected a set of kinds to freeze, got the text 'attention'") as caught:
        linearise(models.open(gpt2()), "attention")
    assert caught.value.hint == "{'attention'}"


@pytest.mark.parametrize("build", [gpt2, llama])
def test_each_nonlinearity_is_frozen_once_and_the_sites_are_listed_once(
    build: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[object] = []
    monkeypatch.setattr(
        Model, "sites", lambda self, *asked, **more: listed.append(asked) or sites(self, *asked, **more)
    )
    monkeypatch.setattr(Model, "native", lambda *_: pytest.fail("a look-up for each site, in a model of many modules"))
    frozen = linearise(models.open(build()), ALL)
    assert len(listed) == 1
    expected = {
        f"layers.{layer}.{part}" for layer in range(3) for part in ("attn#*:pattern", "norm1#*:scale", "norm2#*:scale")
    }
    slope = "slope" if build is gpt2 else "post"
    expected |= {f"layers.{layer}.mlp#*:{slope}" for layer in range(3)} | {"norm#*:scale"}
    assert sorted(str(site) for site, _, _ in frozen.plan().edits) == sorted(expected)
