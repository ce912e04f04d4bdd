"""`attribute`: exact where a model is linear (G9), complete where it is not (G10), near exact patches otherwise."""

from typing import Any

import linear_nets
import numpy as np
import pytest
import torch
from frameworks import Engine, engine, engines, logits, normal, tokens
from small_transformers import gpt2, llama
from torch import nn

import darklantern as dl
from darklantern.errors import MethodError, SiteError
from darklantern.methods.attribution import Attribution, attribute
from darklantern.methods.attribution.points import gauss_legendre
from darklantern.methods.attribution.verifying import _ranks

__all__ = ["engine"]
TWINS = ("torch", "gpt2-linen-scan", "gpt2-haiku")
HEADS = "layers.*.attn:z[head=*]"


def last(output: Any) -> Any:
    """A number that is linear in the output."""
    return (output[:, -1] * 0.5).sum()


def told(output: Any) -> Any:
    said = logits(output)
    return said[:, -1, 3].mean() - said[:, -1, 7].mean()


def linear(engine: Engine) -> tuple[Any, Any, Any]:
    return linear_nets.opened(engine), *(engine.array(normal(2, 5, 6, seed=seed)) for seed in (1, 2))


def scores(engine: Engine, how: str, **options: Any) -> tuple[Attribution, Any]:
    clean, corrupt = tokens(seed=5), tokens(seed=6)
    model = engine.open(gpt2(), clean)
    with engine.differentiating():
        return attribute(model, engine.array(clean), engine.array(corrupt), HEADS, told, how, **options), model


@engines("torch", "linen", "nnx", "equinox", "haiku")
@pytest.mark.parametrize("how", ["patching", "ig"])
def test_g9_in_a_linear_net_every_way_gives_what_exact_patches_do(engine: Engine, how: str) -> None:
    model, clean, corrupt = linear(engine)
    with engine.differentiating():
        found = attribute(model, clean, corrupt, ["layers.*.v:out[pos=*]", "layers.*.up:out[dim=*]"], last, how)
    checked = found.verify(200)  # all of them
    assert len(checked.parts) == 3 * 5 + 3 * 8
    assert np.abs(checked.attributed - checked.exact).max() < 1e-10
    assert checked.pearson == pytest.approx(1, abs=1e-9)
    assert checked.same_sign == 1


@engines("torch", "linen")
def test_g9_nothing_is_there_to_hold_in_a_linear_net_and_relp_says_so(engine: Engine) -> None:
    model, clean, corrupt = linear(engine)
    with engine.differentiating(), pytest.raises(MethodError, match="nothing of this model can be frozen"):
        attribute(model, clean, corrupt, "layers.*.v:out", last)


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(6, 20), nn.GELU(), nn.Linear(20, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.act(self.up(x)))


def perceptron() -> Perceptron:
    torch.manual_seed(0)
    made = Perceptron().double()
    made.up.weight.data *= 4  # far from linear
    return made


@pytest.mark.parametrize("corrupt", [None, torch.from_numpy(normal(3, 6, seed=9))])
def test_g10_integrated_gradients_are_complete_and_those_of_a_loop_by_hand(corrupt: torch.Tensor | None) -> None:
    net, x = perceptron(), torch.from_numpy(normal(3, 6, seed=8))
    found = attribute(dl.open(net), x, corrupt, "up:in[batch=*,dim=*]", lambda out: out.sum(), "ig")
    first = torch.zeros_like(x) if corrupt is None else corrupt
    by_hand = torch.zeros_like(x)
    places, weights = np.polynomial.legendre.leggauss(16)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        at = (first + (x - first) * place).requires_grad_()
        by_hand += weight * torch.autograd.grad(net(at).sum(), at)[0]
    by_hand *= x - first
    assert np.abs(found["up:in[batch=*,dim=*]"].array - by_hand.numpy()).max() < 1e-12
    gain = float((net(x) - net(first)).sum().detach())
    assert abs(found.total - gain) <= 1e-3 * abs(gain)
    assert found.way.completeness_error <= 1e-3
    assert {figure.name: figure.value for figure in found.figures}["completeness error"] == found.way.completeness_error


def test_too_few_points_are_said_in_the_first_line() -> None:
    x = torch.from_numpy(normal(3, 6, seed=8))
    found = attribute(dl.open(perceptron()), x, None, "up:in", lambda out: (out**2).sum(), "ig", steps=1)
    assert found.way.completeness_error > 0.01
    assert "miss what they should add up to" in found.says


@engines(*TWINS)
def test_scores_of_all_heads_cost_two_runs_and_one_backward_pass(engine: Engine) -> None:
    for how in ("patching", "relp"):
        found, _ = scores(engine, how)
        assert (found.made.cost.forward, found.made.cost.backward) == (2, 1)
    found, _ = scores(engine, "ig", along="embed:out", steps=4)
    assert found.made.cost.backward == 4  # one path for all sites
    assert found.array.shape == (3, 4)


@engines(*TWINS)
def test_relp_is_nearer_to_exact_patches_of_heads_than_attribution_patching(engine: Engine) -> None:
    near = {how: scores(engine, how)[0].verify(12).pearson for how in ("patching", "relp")}
    assert near["relp"] > near["patching"]
    assert near["relp"] > 0.9


def test_relp_is_nearer_in_a_gated_model_with_grouped_heads_too() -> None:
    model = dl.open(llama())
    clean, corrupt = (torch.from_numpy(tokens(batch=4, seed=seed)) for seed in (5, 6))
    sites = ["layers.*.mlp:out[pos=*]", "layers.*.attn:out[pos=*]"]
    near = {how: attribute(model, clean, corrupt, sites, told, how).verify(42).pearson for how in ("patching", "relp")}
    assert near["relp"] > near["patching"]


def test_both_frameworks_give_the_same_scores() -> None:
    from conforming.on_jax import Jax
    from conforming.on_torch import Torch

    for how, options in (("patching", {}), ("relp", {}), ("ig", {"along": "embed:out", "steps": 3})):
        found = []
        for name, framework in (("torch", Torch()), ("gpt2-linen", Jax())):
            one = Engine(name, framework)
            with one.looking():
                found.append(scores(one, how, **options)[0].array)
        assert np.abs(found[0] - found[1]).max() <= 1e-6 * np.abs(found[0]).max()


@engines("torch", "gpt2-linen")
def test_a_path_s_own_scores_add_up_to_an_exact_patch_of_the_site(engine: Engine) -> None:
    found, model = scores(engine, "ig")
    assert set(map(str, found.way.ends)) == {f"layers.{layer}.attn:z" for layer in range(3)}
    assert found.way.completeness_error < 1e-3
    clean, corrupt = (engine.array(tokens(seed=seed)) for seed in (5, 6))
    source = model.record(clean, "layers.1.attn:z")
    exact = told(model.run(corrupt, {"layers.1.attn:z": dl.take(source)})) - told(model.run(corrupt))
    assert found["layers.1.attn:z[head=*]"].array.sum() == pytest.approx(float(exact), rel=1e-3)


def test_scores_of_tokens_neurons_and_pinned_positions() -> None:
    model = dl.open(gpt2())
    clean, corrupt = (torch.from_numpy(tokens(seed=seed)) for seed in (5, 6))
    found = attribute(
        model,
        clean,
        corrupt,
        ["embed:out[pos=*]", "layers.2.mlp:neurons[neuron=*,pos=-1]", "layers.1:out[pos=2]"],
        told,
    )
    assert [value.shape for value in found.scores.values()] == [(7,), (128,), ()]
    assert found["embed:out[pos=*]"].array.sum() != 0
    site, score = found.ranked()[0]
    assert score == max((s for _, s in found.ranked()), key=abs)
    assert model.run(clean, {site: dl.zero()}) is not None  # a part is a site
    gradient = attribute(model, clean, None, "embed:out[pos=*]", told, "gradient")
    by_hand = model.gradient(clean, told, "embed:out")
    expected = (by_hand.gradients["embed:out"] * by_hand.values["embed:out"]).sum("batch", "dim").array
    assert np.allclose(gradient["embed:out[pos=*]"].array, expected.numpy())
    assert gradient.verify(4).exact.shape == (4,)


def test_prompts_as_text_are_aligned_and_named(tmp_path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel
    from words import LONG, SWAPPED, WORDS, Words

    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=len(WORDS), bos_token_id=0, eos_token_id=0)
    model = dl.open(GPT2LMHeadModel(config).eval(), Words())
    found = attribute(model, LONG, SWAPPED, "layers.*:in[pos=*]", dl.logit_diff("Mary", "John"))
    assert found["layers.0:in[pos=*]"].array[:8] == pytest.approx(np.zeros(8), abs=1e-9)  # the same words there
    found.show().save(tmp_path / "tokens.svg")
    assert "Mary" in (tmp_path / "tokens.svg").read_text() or "John" in (tmp_path / "tokens.svg").read_text()
    with pytest.raises(SiteError, match="tokens"):
        attribute(model, LONG, "When Anna left", "layers.*:in[pos=*]", dl.logit_diff("Mary", "John"))


def test_what_does_not_go_together_is_refused() -> None:
    model, x = dl.open(gpt2()), torch.from_numpy(tokens())
    for options, said in (
        ({"how": "magic"}, "how='magic'"),
        ({"how": "gradient"}, "takes no corrupt inputs"),
        ({"along": "embed:out"}, "is for the path of how='ig'"),
        ({"how": "ig", "steps": 0}, "steps is a number of points"),
        ({"how": "ig", "along": "layers.*:out"}, "stands for 3 sites"),
    ):
        with pytest.raises(MethodError, match=said):
            attribute(model, x, x, HEADS, told, **options)
    with pytest.raises(SiteError, match="pins 'head'"):
        attribute(model, x, x, "layers.*:out[head=*]", told)
    with pytest.raises(MethodError, match="no head can be told apart"):
        attribute(model, x, x, "layers.*:out[head=*]", told, "ig")
    with pytest.raises(MethodError, match="at least one site"):
        attribute(model, x, x, [], told)
    with pytest.raises(MethodError, match="one part"):
        attribute(model, x, torch.from_numpy(tokens(seed=6)), "layers.0:out", told).verify()


def test_pictures_and_evidence(tmp_path) -> None:
    model = dl.open(gpt2())
    clean, corrupt = (torch.from_numpy(tokens(seed=seed)) for seed in (5, 6))
    found = attribute(model, clean, corrupt, HEADS, told)
    for name, each in (("map", found), ("verified", found.verify(10, seed=3))):
        each.show().save(tmp_path / f"{name}.svg")
        evidence = each.evidence()
        assert evidence.figures and evidence.grids and evidence.sites
    assert found.verify(10, seed=3).evidence().provenance.seed == 3
    assert "attention, norm, activation held" in found.says
    bars = attribute(model, clean, corrupt, ["embed:out[pos=*]", "layers.0:out"], told)
    bars.show().save(tmp_path / "bars.svg")
    with pytest.raises(MethodError, match="differ in shape"):
        _ = bars.array


def test_points_integrate_polynomials_exactly() -> None:
    for steps in (1, 2, 5):
        for degree in range(2 * steps):
            found = sum(weight * place**degree for place, weight in gauss_legendre(steps))
            assert found == pytest.approx(1 / (degree + 1), abs=1e-12)


def test_ranks_share_the_mean_of_equals() -> None:
    assert _ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0, 2.5, 1]
