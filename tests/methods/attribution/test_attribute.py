"""`attribute`: exact in a linear net (G9); elsewhere what a gradient by hand says. RelP is closer to exact patches."""

from typing import Any

import linear_nets
import numpy as np
import pytest
import torch
from frameworks import GPT2, Engine, Numbers, engine, engines, logits, normal, tokens
from scipy.stats import spearmanr
from small_transformers import gpt2, llama
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel
from words import LONG, SWAPPED, WORDS, Words

import darklantern as dl
from darklantern.errors import MethodError, SiteError
from darklantern.methods.attribution import Attribution, attribute
from darklantern.models.opened import Model

__all__ = ["engine"]
HEADS = "layers.*.attn:z[head=*]"


def last(output: Any) -> Any:
    return logits(output)[:, -1, 3].mean()


def two(engine: Engine) -> tuple[Any, Any]:
    return engine.array(tokens(seed=5)), engine.array(tokens(seed=6))


@engines("torch", "linen", "nnx", "equinox", "haiku")
def test_g9_in_a_linear_net_every_way_gives_the_exact_effect(engine: Engine) -> None:
    model = linear_nets.opened(engine)
    clean, corrupt, weight = (engine.array(normal(2, 5, 6, seed=seed)) for seed in (20, 21, 22))

    def metric(output: Any) -> Any:
        return (output * weight).sum() / 2

    sites = ["layers.*.{v,up,down}:out[pos=*]"]
    found = [attribute(model, clean, corrupt, sites, metric, how, steps=2) for how in ("patching", "relp", "ig")]
    verified = found[0].verify(12)
    np.testing.assert_allclose(verified.attributed, verified.exact, rtol=0, atol=1e-10)
    assert verified.pearson == pytest.approx(1) and verified.agreement == 1
    for other in found[1:]:
        np.testing.assert_allclose(other.array, found[0].array, rtol=0, atol=1e-10)
    assert found[1].frozen == () and "nothing there to be held constant" in found[1].says
    assert found[2].completeness_error is not None and found[2].completeness_error < 1e-10
    # With zero as the baseline, exact means zeros put there.
    from_zero = attribute(model, clean, None, sites, metric, "gradient")
    zeros = from_zero.verify(12)
    np.testing.assert_allclose(zeros.attributed, zeros.exact, rtol=0, atol=1e-10)


@engines("torch", "gpt2-linen", "gpt2-equinox-scan")
def test_all_heads_cost_two_runs_and_one_backward_pass(engine: Engine) -> None:
    model, (clean, corrupt) = engine.open(gpt2(), tokens()), two(engine)
    for how in ("patching", "relp"):
        cost = attribute(model, clean, corrupt, HEADS, last, how).made.cost
        assert (cost.forward, cost.backward) == (2, 1), how
    cost = attribute(model, clean, None, HEADS, last, "gradient").made.cost
    assert (cost.forward, cost.backward) == (1, 1)


def test_heads_of_twelve_layers_cost_no_more() -> None:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=12, n_embd=24, n_head=12, vocab_size=50, bos_token_id=0, eos_token_id=0)
    model = dl.open(GPT2LMHeadModel(config).eval())
    found = attribute(model, *(torch.from_numpy(tokens(seed=seed)) for seed in (5, 6)), HEADS, last)
    assert found.array.shape == (12, 12)
    assert (found.made.cost.forward, found.made.cost.backward) == (2, 1)
    assert found.grids[0].columns == tuple(map(str, range(12)))


@engines(*GPT2)
def test_scores_are_the_gradient_times_the_difference(engine: Engine) -> None:
    model, (clean, corrupt) = engine.open(gpt2(), tokens()), two(engine)
    reference = dl.open(gpt2())
    inputs = [torch.from_numpy(tokens(seed=seed)) for seed in (5, 6)]
    site = "layers.1.attn:z"
    for how, frozen in (
        ("patching", reference),
        ("relp", dl.linearise(reference, {"attention", "norm", "activation"})),
    ):
        there = reference.record(inputs[0], site)[site]
        slope = frozen.gradient(inputs[1], last, site)
        expected = (slope.gradients[site] * (there - slope.values[site])).sum("batch", "pos", "dim").array
        found = attribute(model, clean, corrupt, [f"{site}[head=*]"], last, how)
        np.testing.assert_allclose(found.array[0], engine_free(expected), rtol=1e-8, atol=1e-12)


def engine_free(array: Any) -> Numbers:
    held: Numbers = array.detach().numpy()
    return held


@pytest.mark.parametrize("build", [gpt2, llama])
def test_relp_is_closer_to_exact_patches_than_attribution_patching(build: Any) -> None:
    """All heads and MLP outputs by position, on ten pairs of inputs. Random weights, so that neither is good.

    Pearson with exact patches, RelP against attribution patching: GELU and LayerNorm .844 against .636; gated SiLU and
    RMSNorm .616 against .413.
    """
    model = dl.open(build())
    scores: dict[str, list[float]] = {"patching": [], "relp": []}
    for seed in range(10):
        clean, corrupt = (torch.from_numpy(tokens(seed=100 * k + seed)) for k in (1, 2))
        for how, held in scores.items():
            found = attribute(model, clean, corrupt, ["layers.*.mlp:out[pos=*]", HEADS], last, how)
            held.append(found.verify(54).pearson)
    assert np.mean(scores["relp"]) > np.mean(scores["patching"]) + 0.1


@engines("torch", "gpt2-linen-scan")
def test_axes_that_are_kept_add_up_to_those_that_are_not(engine: Engine) -> None:
    model, (clean, corrupt) = engine.open(gpt2(), tokens()), two(engine)

    def scores(site: str, **more: Any) -> Attribution:
        return attribute(model, clean, corrupt, site, last, **more)

    heads, whole, both = scores(HEADS), scores("layers.*.attn:z"), scores("layers.*.attn:z[head=*,pos=*]")
    assert (heads.array.shape, whole.array.shape, both.array.shape) == ((3, 4), (3,), (3, 7, 4))
    np.testing.assert_allclose(heads.array.sum(-1), whole.array)
    np.testing.assert_allclose(both.array.sum(1), heads.array)
    each = scores(HEADS, per_example=True)
    assert each.array.shape == (3, 2, 4)
    np.testing.assert_allclose(each.array.mean(1), heads.array)
    assert dict(each.ranked()) == pytest.approx(dict(heads.ranked()))
    (site, score), *_ = both.ranked(abs, 1)
    assert float(both[site].array) == score == np.abs(both.array).max() * np.sign(score)
    assert heads.stack(HEADS.partition("[")[0]).axes == ("layer", "head")
    one = attribute(model, clean[:1], corrupt[:1], HEADS, last)
    np.testing.assert_allclose(each.array[:, 0], one.array[:, :], rtol=1e-9, atol=1e-12)


def test_a_stream_of_batches_is_one_large_batch() -> None:
    model = dl.open(gpt2())
    clean, corrupt = (torch.from_numpy(tokens(batch=5, seed=seed)) for seed in (5, 6))
    whole = attribute(model, clean, corrupt, HEADS, last, per_example=True)
    cut = [{"input_ids": part} for part in clean.split(2)], [{"input_ids": part} for part in corrupt.split(2)]
    parts = attribute(model, *cut, HEADS, last, per_example=True)
    np.testing.assert_allclose(parts.array, whole.array, rtol=1e-9, atol=1e-12)
    assert (parts.clean, parts.corrupt) == pytest.approx((whole.clean, whole.corrupt))
    assert parts.verify(6).exact == pytest.approx(whole.verify(6).exact)
    once = attribute(model, iter(clean.split(2)), iter(corrupt.split(2)), HEADS, last)
    np.testing.assert_allclose(once.array, whole.array.mean(1), rtol=1e-9, atol=1e-12)
    with pytest.raises(MethodError, match="used up"):
        once.verify(6)
    with pytest.raises(MethodError, match="more clean batches than the 2"):
        attribute(model, iter(clean.split(2)), iter(corrupt[:4].split(2)), HEADS, last)


def worded() -> Model:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=3, n_embd=16, n_head=2, vocab_size=len(WORDS), bos_token_id=0, eos_token_id=0)
    return dl.open(GPT2LMHeadModel(config).eval(), Words())


def test_prompts_go_in_as_text_and_tokens_are_named() -> None:
    model = worded()
    metric = dl.logit_diff("Mary", "John")
    found = attribute(model, LONG, SWAPPED, "embed:out[pos=*]", metric)
    assert found.texts[:2] == ("When", "Mary") and found.texts[8] == "John/Mary"
    np.testing.assert_array_equal(np.flatnonzero(found.array[0]), [8])  # nothing else differs
    assert "John/Mary" in str(found.show().svg)
    with pytest.raises(SiteError, match="do not correspond"):
        attribute(model, LONG, "When Anna left", "embed:out[pos=*]", metric)
    # Two prompts that differ in length: each one's own positions, and padding counts nothing.
    several = attribute(model, ["When Anna left", LONG], None, "embed:out[pos=*]", metric, "gradient", per_example=True)
    alone = attribute(model, ["When Anna left"], None, "embed:out[pos=*]", metric, "gradient")
    np.testing.assert_allclose(several.array[0, 0, :3], alone.array[0], rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(several.array[0, 0, 3:], 0)


def test_evidence_and_pictures(tmp_path: Any) -> None:
    model = dl.open(gpt2())
    clean, corrupt = (torch.from_numpy(tokens(seed=seed)) for seed in (5, 6))
    found = attribute(model, clean, corrupt, ["layers.*.attn:z[head=*]"], last)
    checked = found.verify(8, seed=3)
    for result, name in ((found, "attribute"), (checked, "attribute.verify")):
        evidence = result.evidence()
        assert evidence.method == name and evidence.grids
        result.show().save(tmp_path / f"{name}.svg")
    assert checked.made.seed == 3 and checked.strongest == 4 and len(set(checked.sites)) == 8
    assert found.evidence().summary.startswith("RelP, attention, norm and activation held constant: strongest")
    neurons = attribute(model, clean, corrupt, "layers.*.mlp:post[neuron=*]", last)
    planes = attribute(model, clean, corrupt, "layers.*.mlp:post[neuron=*,pos=*]", last)
    assert planes.array.shape == (3, 7, 128) and "layers.2.mlp:post" in str(planes.show().svg)
    assert neurons.array.shape == (3, 128) and "neuron" in str(neurons.show().svg)
    assert found.verify(100).strongest == 12  # no more cells than there are


def test_those_drawn_stand_for_all_that_were_not() -> None:
    """Of 384 neurons, 40 say what all would: on average over draws."""
    model = dl.open(gpt2())
    clean, corrupt = (torch.from_numpy(tokens(seed=seed)) for seed in (5, 6))
    found = attribute(model, clean, corrupt, "layers.*.mlp:post[neuron=*]", last, "patching")
    every = found.verify(384)
    assert every.others == 192 and set(every.stands_for) == {1.0}
    assert every.pearson == pytest.approx(float(np.corrcoef(every.attributed, every.exact)[0, 1]))
    assert every.spearman == pytest.approx(float(spearmanr(every.attributed, every.exact).statistic))
    drawn = [found.verify(40, seed=seed) for seed in range(5)]
    assert drawn[0].others == 364 and drawn[0].stands_for.sum() == pytest.approx(384)
    for name in ("pearson", "spearman", "agreement"):
        whole, parts = getattr(every, name), [getattr(each, name) for each in drawn]
        assert np.mean(parts) == pytest.approx(whole, abs=0.1), (name, whole, parts)


class Convolved(nn.Module):
    """Images to three numbers, of which the second sees the upper left quarter alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1, dtype=torch.float64)
        self.read = nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.conv(x).relu()
        return self.read(seen.mean((2, 3))) + self.read(seen[:, :, :3, :3].mean((2, 3))) * torch.tensor([0, 9, 0])


def test_pixels_of_an_image_and_channels_of_a_convolution() -> None:
    torch.manual_seed(0)
    model = dl.open(Convolved())
    images = torch.from_numpy(normal(4, 1, 8, 8, seed=2))
    found = attribute(model, images, None, "conv:in[height=*,width=*]", lambda output: output[:, 1].mean(), "ig")
    (pixels,) = (np.abs(score.array) for score in found.scores)
    assert pixels.shape == (8, 8) and found.incomplete is not None
    assert pixels[:3, :3].mean() > 4 * pixels[4:, 4:].mean()
    assert "height" in str(found.show().svg)
    channels = attribute(model, images, None, "conv:out[channel=*]", lambda output: output[:, 1].mean(), "gradient")
    assert channels.array.shape == (1, 4)
    # Everything behind the channels is piecewise linear through 0 but for the bias: each is exact.
    verified = channels.verify(4)
    np.testing.assert_allclose(verified.attributed, verified.exact, atol=1e-12)


def test_half_precision_comes_out_in_full() -> None:
    full, half = dl.open(gpt2()), dl.open(gpt2().to(torch.bfloat16))
    clean, corrupt = (torch.from_numpy(tokens(seed=seed)) for seed in (5, 6))
    scores = [attribute(model, clean, corrupt, HEADS, last).array for model in (full, half)]
    assert scores[1].dtype == np.float64
    assert np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1] > 0.98
    assert attribute(half, clean, corrupt, "layers.2:out", last, "ig").completeness_error is not None


def test_a_model_that_drops_out_is_refused() -> None:
    module = gpt2().train()
    clean, corrupt = (torch.from_numpy(tokens(seed=seed)) for seed in (5, 6))
    with pytest.raises(MethodError, match="effects would be noise"):
        attribute(dl.open(module), clean, corrupt, HEADS, last)


def test_what_cannot_be_attributed_is_refused() -> None:
    model = dl.open(gpt2())
    clean, corrupt = (torch.from_numpy(tokens(seed=seed)) for seed in (5, 6))
    for error, says, arguments, more in (
        (MethodError, "a way to attribute, got 'lrp'", (clean, corrupt, HEADS, last, "lrp"), {}),
        (MethodError, "corrupt is None", (clean, None, HEADS, last), {}),
        (MethodError, "zero as its baseline", (clean, corrupt, HEADS, last, "gradient"), {}),
        (MethodError, "number of points", (clean, corrupt, HEADS, last, "ig"), {"steps": 0}),
        (MethodError, "goes along no path", (clean, corrupt, HEADS, last), {"along": "embed:out"}),
        (MethodError, "one site to go along", (clean, corrupt, HEADS, last, "ig"), {"along": "layers.*:out"}),
        (SiteError, "holds whole numbers", (clean, corrupt, "embed:in", last), {}),
        (MethodError, "nothing to attribute", (clean, clean, HEADS, last), {}),
        (SiteError, "at least one site", (clean, corrupt, [], last), {}),
        (SiteError, "keeps the examples apart", (clean, corrupt, "embed:out[batch=*]", last), {}),
        (SiteError, "in two ways", (clean, corrupt, ["embed:out", "embed:out[pos=*]"], last), {}),
        (MethodError, "no channel to keep", (clean, corrupt, "embed:out[channel=*]", last), {}),
        (MethodError, "a stream of batches", (iter([clean]), corrupt, HEADS, last), {}),
        (MethodError, "at least one batch", (iter([]), iter([]), HEADS, last), {}),
        (MethodError, "the metric is nan", (clean, corrupt, HEADS, lambda output: last(output) * torch.nan), {}),
        (SiteError, "expected an opened model", None, {}),
    ):
        with pytest.raises(error, match=says):
            if arguments is None:
                attribute(model.module, clean, corrupt, HEADS, last)
            else:
                attribute(model, *arguments, **more)
    with pytest.raises(MethodError, match="2 or more cells"):
        attribute(model, clean, corrupt, HEADS, last).verify(1)
