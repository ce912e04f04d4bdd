"""`linearise`: ground truths G9 (a linear net: gradients are exact) and G11 (a frozen model is affine)."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from darklantern import models
from darklantern.errors import SiteError
from darklantern.methods import linearise
from darklantern.models import edits
from darklantern.models.on_torch.opened import Model

sites = Model.sites
ALL = ("attention", "norm", "activation")


def gpt2() -> nn.Module:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=3, n_embd=32, n_head=4, vocab_size=50, bos_token_id=0, eos_token_id=0)
    return randomised(GPT2LMHeadModel(config).double().eval())


def llama() -> nn.Module:
    torch.manual_seed(1)
    config = LlamaConfig(
        num_hidden_layers=3,
        hidden_size=32,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=50,
    )
    return randomised(LlamaForCausalLM(config).double().eval())


def randomised(model: nn.Module) -> nn.Module:
    """Weights large enough that nothing is nearly linear by itself, norms' weights and biases too."""
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.data = noise * 0.3 if parameter.ndim > 1 else 1 + 0.2 * noise if "weight" in name else 0.2 * noise
    return model


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(0, 50, (2, 7), generator=torch.Generator().manual_seed(5))


class LinearNet(nn.Module):
    """Fixed attention pattern, no norm, no nonlinearity: values and MLPs only."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.ModuleList(
            nn.ModuleDict({"v": nn.Linear(6, 6), "up": nn.Linear(6, 8), "down": nn.Linear(8, 6)}) for _ in range(3)
        )
        self.register_buffer("fixed", torch.randn(5, 5).tril().softmax(-1))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + self.fixed @ layer["v"](x)
            x = x + layer["down"](layer["up"](x))
        return x


def test_g9_in_a_linear_net_gradients_give_the_exact_effect_of_every_patch() -> None:
    net = LinearNet().double()
    model = models.open(net)
    generator = torch.Generator().manual_seed(4)
    clean, corrupt = (torch.randn(1, 5, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    weight = torch.randn(5, 6, generator=generator, dtype=torch.float64)

    def metric(output: Tensor) -> Tensor:
        return (output * weight).sum()

    sites = [f"layers.{i}.{part}:out" for i in range(3) for part in ("v", "up", "down")]
    there = model.record(clean, *sites)
    at_corrupt, at_clean = (model.gradient(inputs, metric, *sites) for inputs in (corrupt, clean))
    with pytest.raises(SiteError, match="no port 'pattern'"):
        linearise(model, {"attention"})
    for site in sites:
        with torch.no_grad():
            exact = metric(model.run(corrupt, {site: edits.take(there)})) - metric(model.run(corrupt))
        step = there[site].array.detach() - at_corrupt.values[site].array
        for gradients in (at_corrupt, at_clean):  # and so the integral over the path between is the same
            assert float((gradients.gradients[site].array * step).sum()) == pytest.approx(float(exact), abs=1e-10)


@pytest.mark.parametrize("build", [gpt2, llama])
def test_freezing_leaves_every_bit_of_the_output(build: Callable[[], nn.Module], tokens: Tensor) -> None:
    module = build()
    for freeze in (("attention",), ("norm",), ("activation",), ALL):
        assert torch.equal(linearise(models.open(module), freeze).run(tokens).logits, module(tokens).logits)


@torch.no_grad()
def test_g11_a_frozen_model_is_affine_around_its_input(tokens: Tensor) -> None:
    model = models.open(gpt2())
    frozen = linearise(model, ALL)
    here = model.record(tokens, "layers.0:in", "**:{pattern,scale,slope}")
    held = {site: edits.take(here) for site in here.sites if site.port != "in"}
    # The same nonlinearities, their values written down at `tokens` and put in wherever we go: truly affine.
    start, step = here["layers.0:in"].array, torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(6))

    def at(distance: float) -> Tensor:
        return model.run(tokens, {**held, "layers.0:in": edits.add(step, scale=distance)}).logits

    torch.testing.assert_close(at(1.0) - at(0.0), at(5.0) - at(4.0), atol=1e-10, rtol=1e-10)
    moved = frozen.jvp(tokens, {"layers.0:in": step.double()}, "unembed:out")["unembed:out"].array
    torch.testing.assert_close(moved, at(1.0) - at(0.0), atol=1e-10, rtol=1e-10)
    # f = J·x + bias, the bias being what is left at x = 0.
    jx = frozen.jvp(tokens, {"layers.0:in": start}, "unembed:out")["unembed:out"].array
    bias = model.run(tokens, {**held, "layers.0:in": edits.zero()}).logits
    torch.testing.assert_close(jx + bias, here.output.logits, atol=1e-10, rtol=1e-10)
    # And backwards: the gradient of one logit is the row of that same J.
    one = frozen.gradient(tokens, lambda output: output.logits[1, -1, 7], "layers.0:in").gradients["layers.0:in"]
    assert float((one.array * step).sum()) == pytest.approx(float(moved[1, -1, 7]), abs=1e-10)


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
        f"layers.{layer}.{part}" for layer in range(3) for part in ("attn:pattern", "norm1:scale", "norm2:scale")
    }
    expected |= {f"layers.{layer}.mlp:{'slope' if build is gpt2 else 'post'}" for layer in range(3)} | {"norm:scale"}
    assert sorted(str(site) for site, _, _ in frozen.plan().edits) == sorted(expected)
