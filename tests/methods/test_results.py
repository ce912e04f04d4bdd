"""What all results have in common: costs that are counted, evidence that names what it was made from."""

from typing import Any

import jax.numpy as jnp
import linear_nets
import numpy as np
import pytest
import torch
from frameworks import Engine, engine, engines, logits, normal, tokens
from small_transformers import gpt2
from transformers import GPT2Config, GPT2LMHeadModel
from words import LONG, WORDS, Words

import darklantern as dl
from darklantern.errors import MethodError, SiteError
from darklantern.methods import Sweep, sweep
from darklantern.methods.digests import Digest
from darklantern.methods.making import making
from darklantern.models.memory import peak

__all__ = ["engine"]
ANSWERS = ("Mary", "John")
SITES = ["layers.*:out"]


def last(output: Any) -> Any:
    return logits(output)[:, -1].sum()


def patched(engine: Engine) -> tuple[Sweep, Any]:
    clean, corrupt = tokens(seed=5), tokens(seed=6)
    model = engine.open(gpt2(), clean)
    return sweep(model, engine.array(clean), engine.array(corrupt), SITES, last, positions=[0, 6]), model


@engines("torch", "gpt2-linen-scan")
def test_what_a_sweep_cost_is_what_it_ran(engine: Engine) -> None:
    cost = patched(engine)[0].made.cost
    layers, cells = 3, 6
    # Both inputs once, each cell by itself, and the starts, which take each engine what they take.
    assert 2 + cells <= cost.forward <= 2 + cells + 2 * layers + 2
    assert cost.partial >= 4  # all but the last layer's end within blocks that a run can start at
    assert cost.backward == 0


@engines("torch", "linen", "nnx", "haiku")
def test_passes_are_counted_whatever_is_run(engine: Engine) -> None:
    model, inputs = linear_nets.opened(engine), engine.array(normal(1, 5, 6, seed=1))
    with making("any", model) as outer:
        model.run(inputs)
        with engine.differentiating(), making("inner", model) as inner:
            model.gradient(inputs, last, "layers.1.v:out")
        model.record(inputs, "layers.0.v:out", stop=True)
    assert (inner.made().cost.forward, inner.made().cost.backward) == (1, 1)
    cost = outer.made().cost
    assert (cost.forward, cost.partial, cost.backward) == (3, 1, 1)


@engines("torch", "gpt2-linen")
def test_evidence_names_weights_data_and_software(engine: Engine) -> None:
    found, model = patched(engine)
    again, _ = patched(engine)
    evidence = found.evidence()
    assert evidence == again.evidence()
    assert evidence.provenance.model == model.hash_later()()
    assert engine.framework.name in evidence.provenance.versions
    assert evidence.sites == tuple(f"layers.{layer}:out" for layer in range(3))
    assert evidence.grids[0].values == found.effects
    assert {figure.name for figure in evidence.figures} >= {"clean", "corrupt"}


def test_data_have_one_hash_in_every_framework() -> None:
    numbers = normal(3, 2, seed=0).astype(np.float32)
    digests = []
    for array in (numbers, torch.from_numpy(numbers), jnp.asarray(numbers)):
        digest = Digest()
        digest.add({"x": array, "y": ("text", 1, None)})
        digests.append(digest.hex())
    assert len(set(digests)) == 1
    other = Digest()
    other.add({"x": numbers.T.copy(), "y": ("text", 1, None)})
    assert other.hex() != digests[0]


def test_what_has_no_bytes_is_refused_by_evidence_and_not_by_the_method() -> None:
    digest = Digest()
    digest.add([object()])
    with pytest.raises(MethodError, match="type object have no bytes"):
        digest.hex()


@pytest.mark.parametrize("change", ["in place", "places swapped", "behind the version counter"])
def test_evidence_of_weights_that_have_changed_is_refused(change: str) -> None:
    net = gpt2()
    model = dl.open(net)
    found = sweep(model, *(torch.from_numpy(tokens(seed=seed)) for seed in (5, 6)), SITES, last, positions=[6])
    weight = net.get_parameter("transformer.h.1.mlp.c_fc.weight")
    with torch.no_grad():
        if change == "in place":
            weight[0, 0] += 1e-3
        elif change == "places swapped":
            weight[:] = weight.flip(1)
        else:
            weight.data *= 1.001
    with pytest.raises(SiteError, match="weights have changed"):
        found.evidence()


def test_an_edit_that_stood_in_the_model_stands_in_the_evidence() -> None:
    model = dl.open(gpt2()).edited({"layers.0:out": dl.scale(0.5)})
    found = sweep(model, *(torch.from_numpy(tokens(seed=seed)) for seed in (5, 6)), SITES, last, positions=[6])
    assert "under layers.0:out: scale(0.5)" in found.evidence().summary


def test_a_peak_is_what_was_taken_and_given_back() -> None:
    with peak() as outer:
        with peak() as first:
            np.ones(25_000_000)  # 200 MB, gone at once
        with peak() as second:
            np.ones(2_500_000)
    assert first.bytes is not None and second.bytes is not None and outer.bytes is not None
    assert 180e6 < first.bytes < 260e6
    assert second.bytes < 60e6
    assert outer.bytes >= first.bytes * 0.95


@torch.no_grad()
def test_metrics_know_tokens_by_their_text_and_each_prompts_own_end() -> None:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=len(WORDS), bos_token_id=0, eos_token_id=0)
    model = dl.open(GPT2LMHeadModel(config).eval(), Words())
    clean = model.batch([LONG, "When Anna left"])
    output = model.run(clean).logits
    ends = [output[i, n - 1] for i, n in enumerate(clean.lengths)]
    one, two = (WORDS.index(word) for word in ANSWERS)
    expected = sum(float(row[one] - row[two]) for row in ends) / len(ends)
    measured = dl.logit_diff(*ANSWERS).bind(model, clean)(model.run(clean))
    assert float(measured) == pytest.approx(expected, rel=1e-6)
    log = dl.log_prob(ANSWERS[0]).bind(model, clean)(model.run(clean))
    assert float(log) == pytest.approx(sum(float(row.log_softmax(-1)[one]) for row in ends) / len(ends), rel=1e-6)
    with pytest.raises(MethodError, match="has to see the model"):
        dl.logit_diff(*ANSWERS)(output)
    with pytest.raises(MethodError, match="2 tokens"):
        dl.log_prob(" ".join(ANSWERS)).bind(model, clean)
