"""Integrated gradients: G10 (completeness on a GELU MLP), and the same integral by a loop of one's own."""

from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen
from frameworks import Engine, engine, engines, logits, normal, tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from small_transformers import gpt2
from torch import Tensor, nn

import darklantern as dl
from darklantern.methods.attribution import attribute
from darklantern.models.opened import Model

__all__ = ["engine"]
WIDTHS = (6, 16, 16, 3)
KERNELS = [normal(*pair, seed=seed) * 0.7 for seed, pair in enumerate(pairwise(WIDTHS))]
BIASES = [normal(width, seed=10 + seed) * 0.3 for seed, width in enumerate(WIDTHS[1:])]
NAMES = ("first", "second", "third")


class TorchMlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.GELU()
        for name, kernel, bias in zip(NAMES, KERNELS, BIASES, strict=True):
            linear = nn.Linear(*kernel.shape).double()
            linear.weight.data, linear.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias)
            setattr(self, name, linear)

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.act(self.second(self.act(self.first(x)))))  # type: ignore[no-any-return, operator]


class LinenMlp(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        for name, width in zip(NAMES[:-1], WIDTHS[1:], strict=False):
            x = linen.gelu(linen.Dense(width, name=name)(x), approximate=False)
        return linen.Dense(WIDTHS[-1], name=NAMES[-1])(x)


def opened(engine: Engine) -> Model:
    if engine.name == "torch":
        return dl.open(TorchMlp())
    params = {
        name: {"kernel": jnp.array(kernel), "bias": jnp.array(bias)}
        for name, kernel, bias in zip(NAMES, KERNELS, BIASES, strict=True)
    }
    return dl.open(LinenMlp(), weights={"params": params}, example=engine.array(normal(1, 6, seed=0)))


def third(output: Any) -> Any:
    return output[:, 2].mean()


@engines("torch", "linen")
def test_g10_sixteen_points_add_up_to_the_change_and_are_the_integral_by_hand(engine: Engine) -> None:
    model = opened(engine)
    clean, corrupt = normal(4, 6, seed=30), normal(4, 6, seed=31)
    for other in (None, corrupt):
        given = None if other is None else engine.array(other)
        found = attribute(model, engine.array(clean), given, "first:in[dim=*]", third, "ig", per_example=True)
        assert found.incomplete is not None and found.incomplete <= 1e-3
        start = np.zeros_like(clean) if other is None else other
        np.testing.assert_allclose(found.array[0], by_hand(clean, start), rtol=1e-9, atol=1e-12)
        (total, change), *_ = found.paths
        module = TorchMlp()
        true = third(module(torch.from_numpy(clean))) - third(module(torch.from_numpy(start)))
        assert change == pytest.approx(float(true.detach()), abs=1e-12)
        assert total == pytest.approx(found.total, abs=1e-12)
        assert {"completeness error", "completeness error, relative"} <= {figure.name for figure in found.figures}


def by_hand(clean: Any, start: Any, steps: int = 16) -> Any:
    """Each example's own, (example, dim): captum's gausslegendre, written out."""
    module = TorchMlp()
    total = np.zeros_like(clean)
    for point, weight in zip(*np.polynomial.legendre.leggauss(steps), strict=True):
        x = torch.from_numpy(start + (1 + point) / 2 * (clean - start)).requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(module(x)[:, 2].sum(), x)
        total += weight / 2 * slope.numpy()
    return total * (clean - start)


def test_too_few_points_are_said_to_be_too_few() -> None:
    model = dl.open(TorchMlp())
    inputs = torch.from_numpy(normal(4, 6, seed=30)) * 4
    errors = []
    for steps in (1, 4, 32):
        found = attribute(model, inputs, None, "first:in", third, "ig", steps=steps)
        errors.append(found.completeness_error)
        assert ("incomplete by" in found.says) == (found.incomplete > 0.01)
    assert errors == sorted(errors, reverse=True) and errors[0] > 100 * errors[-1]
    assert "incomplete by" in attribute(model, inputs, None, "first:in", third, "ig", steps=1).says


class Power(nn.Module):
    """x → Σ xⁿ."""

    def __init__(self, exponent: int) -> None:
        super().__init__()
        self.exponent, self.given = exponent, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return (self.given(x) ** self.exponent).sum(-1)


@given(exponent=st.integers(1, 12), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_n_points_are_exact_for_polynomials_of_degree_2n(exponent: int, seed: int) -> None:
    model, steps = dl.open(Power(exponent)), (exponent + 1) // 2
    clean, corrupt = (torch.from_numpy(normal(3, 5, seed=seed + k)) for k in (0, 100))
    found = attribute(model, clean, corrupt, "given:out[dim=*]", lambda out: out.mean(), "ig", steps=steps)
    assert found.incomplete is not None and found.incomplete < 1e-9
    expected = (clean**exponent - corrupt**exponent).mean(0).numpy()
    np.testing.assert_allclose(found.array[0], expected, rtol=1e-8, atol=1e-9)


def last(output: Any) -> Any:
    return logits(output)[:, -1, 3].mean()


@engines("torch", "gpt2-linen-scan")
def test_each_site_has_a_path_of_its_own_or_all_have_one(engine: Engine) -> None:
    """Weights near nothing, so that few points suffice; change is then what an exact patch does."""
    module = gpt2()
    for parameter in module.parameters():
        parameter.data *= 0.5
    model = engine.open(module, tokens())
    clean, corrupt = (engine.array(tokens(seed=seed)) for seed in (5, 6))
    own = attribute(model, clean, corrupt, "layers.*.mlp:out", last, "ig", steps=12)
    patched = own.verify(4)
    exact = dict(zip(patched.sites, patched.exact, strict=True))
    for score, (total, change) in zip(own.scores, own.paths, strict=True):
        assert change == pytest.approx(exact[score.site], abs=1e-10)
        assert total == pytest.approx(float(score.array)) == pytest.approx(change, rel=0.02, abs=1e-4)
    assert own.made.cost.backward == 3 * 12
    # Through the embedding: at that very site all ways to say it agree.
    through = attribute(model, clean, corrupt, ["embed:out", "layers.0:in"], last, "ig", steps=4, along="embed:out")
    alone = attribute(model, clean, corrupt, "embed:out", last, "ig", steps=4)
    assert float(through["embed:out"].array) == pytest.approx(float(alone["embed:out"].array), rel=1e-9)
    assert float(through["layers.0:in"].array) == pytest.approx(float(alone["embed:out"].array), rel=1e-9)
    assert len(through.paths) == 1 and through.made.cost.backward == 4


def test_part_of_a_site_is_moved_by_itself() -> None:
    model = dl.open(gpt2())
    clean, corrupt = (torch.from_numpy(tokens(seed=seed)) for seed in (5, 6))
    site = "layers.2.attn:z[head=1,pos=-1]"
    found = attribute(model, clean, corrupt, site, last, "ig", steps=24)
    assert found.verify(2).exact[0] == pytest.approx(found.paths[0][1], abs=1e-12)
    assert found.total == pytest.approx(found.paths[0][1], rel=1e-3)
