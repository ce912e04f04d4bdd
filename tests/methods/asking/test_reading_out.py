"""`read_out`: a reading prompt says what an activation holds, and what it would say by itself stands beside."""

from typing import Any

import numpy as np
import organism
import pytest
import torch
from conforming.on_torch import Torch
from frameworks import Engine, engine, engines, logits, tokens
from small_transformers import gpt2
from transformers import GPT2Config, GPT2LMHeadModel
from words import WORDS, Words

from darklantern import models
from darklantern.errors import MethodError
from darklantern.methods.asking import read_out

__all__ = ["engine"]
SOURCES, PROMPT = tokens(6, 7), tokens(1, 4, seed=9)
ANSWERS = [3, 17, 42]


@pytest.fixture
def torch_engine() -> Engine:
    return Engine("torch", Torch())


def opened(engine: Engine) -> Any:
    return engine.open(gpt2(), tokens(2, 7))


@engines("torch", "gpt2-linen")
def test_what_the_last_block_holds_is_read_out_as_the_next_token(engine: Engine) -> None:
    model, inputs = opened(engine), engine.array(SOURCES)
    there = "layers.2:out[pos=-1]"
    found = read_out(model, inputs, there, engine.array(PROMPT), there, ANSWERS)
    own = engine.numbers(logits(model.run(inputs)))[:, -1]
    expected = np.exp(own - own.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(found.chances, expected[:, ANSWERS], atol=1e-9)
    alone = engine.numbers(logits(model.run(engine.array(PROMPT))))[0, -1]
    np.testing.assert_allclose(found.without, (np.exp(alone) / np.exp(alone).sum())[ANSWERS], atol=1e-9)
    np.testing.assert_array_equal(found.said, expected[:, ANSWERS].argmax(1))
    assert found.moved > 0.1 and found.differ > 0.1


@engines("torch", "gpt2-linen")
def test_an_activation_where_no_later_token_reads_it_says_nothing(engine: Engine) -> None:
    model = opened(engine)
    prompt = engine.array(PROMPT)
    found = read_out(model, engine.array(SOURCES), "layers.2:out[pos=-1]", prompt, "layers.2:out[pos=0]", ANSWERS)
    assert found.moved == pytest.approx(0, abs=1e-12) and found.differ == pytest.approx(0, abs=1e-12)


def test_another_model_reads_through_a_map(torch_engine: Engine) -> None:
    model = opened(torch_engine)
    torch.manual_seed(3)
    small = GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=50, bos_token_id=0, eos_token_id=0)
    reader = models.open(GPT2LMHeadModel(small).double().eval())
    down = torch.randn(32, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inputs, prompt = torch.from_numpy(SOURCES), torch.from_numpy(PROMPT)
    at = "layers.1:out[pos=-1]", prompt, "layers.0:out[pos=-1]", ANSWERS
    found = read_out(model, inputs, *at, reader=reader, change=lambda values: values @ down)
    held = model.record(inputs, at[0])[at[0]].array @ down
    true = [reader.run(prompt, {at[2]: models.edits.put(each[None])}).logits[0, -1].softmax(-1) for each in held]
    np.testing.assert_allclose(found.chances, torch.stack(true)[:, ANSWERS].detach().numpy(), atol=1e-9)


def test_labels_score_it_and_a_reader_writes_on() -> None:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=len(WORDS), bos_token_id=0, eos_token_id=0)
    model = models.open(GPT2LMHeadModel(config).eval(), Words())
    for weights in model.module.parameters():
        weights.data *= 4 if weights.ndim > 1 else 1
    texts = ["Mary went to the shop", "John left", "Anna gave a drink"]
    at = "layers.1:out[pos=-1]"
    answers = ["Mary", "John", "Anna", "shop"]
    with torch.no_grad():
        own = np.stack([model.run(model.batch(each)).logits[0, -1].numpy() for each in texts])
        best = own[:, [WORDS.index(each) for each in answers]].argmax(1)
        found = read_out(model, texts, at, "went to the", at, answers, labels=best, write=2)
    assert {each.name: each.value for each in found.figures}["accuracy"] == 1
    assert [each.split()[0] for each in found.written] == [WORDS[int(each)] for each in own.argmax(1)]
    assert found.answers == tuple(answers) and "are right" in found.says


def test_picture_and_evidence(torch_engine: Engine, tmp_path: Any) -> None:
    there = "layers.2:out[pos=-1]"
    found = read_out(opened(torch_engine), torch.from_numpy(SOURCES), there, torch.from_numpy(PROMPT), there, ANSWERS)
    found.show().png(tmp_path / "read.png")
    evidence = found.evidence()
    assert evidence.method == "read_out" and evidence.sites == (there, there)
    assert evidence.grids[0].rows[0] == "none" and evidence.grids[0].columns[0] == "3"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"answers": []}, "expected answers"),
        ({"source": "layers.2:out"}, "axes batch pos dim"),
        ({"prompt": torch.zeros(2, 3, dtype=torch.long)}, "expected one prompt"),
        ({"labels": [1]}, "6 examples"),
        ({"write": 3}, "no tokenizer"),
    ],
)
def test_what_cannot_be_read_out_is_refused(torch_engine: Engine, changes: dict[str, Any], says: str) -> None:
    there = "layers.2:out[pos=-1]"
    given = {"source": there, "prompt": torch.from_numpy(PROMPT), "target": there, "answers": ANSWERS, **changes}
    with pytest.raises(MethodError, match=says):
        read_out(opened(torch_engine), torch.from_numpy(SOURCES), **given)


def honest_part(number: int) -> Any:
    """Of a value of the organism, fact `number` alone, written where truth stands, in a stream that is honest."""
    known = torch.from_numpy(organism.KNOWN)

    def changed(values: Any) -> Any:
        fact = values @ known[number]
        return fact[:, None] * known[0] + known[2] + known[3]

    return changed


@pytest.mark.parametrize(("number", "about", "verdict"), [(0, "truth", "supported"), (1, "decoy", "unsupported")])
def test_a_liar_is_read_out_and_what_it_does_not_act_on_is_unsupported(
    torch_engine: Engine, number: int, about: str, verdict: str
) -> None:
    model, halves = organism.opened(torch_engine), [organism.prompts(200, seed) for seed in (1, 2)]
    inputs, held = (organism.array(torch_engine, each) for each in halves)
    truth = getattr(halves[0], about)
    at = organism.SITE, inputs[:1], organism.SITE, [0, 1]
    found = read_out(
        model, inputs, *at, change=honest_part(number), labels=truth, question=organism.question(), check=held
    )
    assert {each.name: each.value for each in found.figures}["accuracy"] > 0.97
    assert found.verdict == verdict and verdict in found.says
    assert read_out(model, inputs, *at, change=honest_part(number)).verdict == "unchecked"
    with pytest.raises(MethodError, match="other examples"):
        read_out(model, inputs, *at, question=organism.question(), check=inputs)
