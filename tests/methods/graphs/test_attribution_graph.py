"""Attribution graphs: every edge by hand, G11 (rows add up), both ways of finding edges alike, on both frameworks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch
from frameworks import Engine, engine, engines, tokens
from small_transformers import gpt2, llama, randomised
from some_transcoders import at_random, by_hand, fitted, of_neurons, relu_gpt2
from torch import nn
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from words import LONG, WORDS, Words

from darklantern import models
from darklantern.errors import MethodError, SiteError
from darklantern.methods.graphs import Graph, Transcoder, attribution_graph
from darklantern.methods.graphs.nodes import ERROR, FEATURE, LOGIT

__all__ = ["engine"]
PROMPT = tokens(1, 6)


def made(engine: Engine, module: nn.Module, transcoders: list[Transcoder], **more: Any) -> Graph:
    example = {"input_ids": PROMPT, "attention_mask": np.ones_like(PROMPT)} if "llama" in engine.name else PROMPT
    model, inputs = engine.open(module, example), jax.tree.map(engine.array, example)
    with engine.differentiating():
        return attribution_graph(model, inputs, transcoders, **more)


def on_torch(module: nn.Module, transcoders: list[Transcoder], **more: Any) -> Graph:
    return attribution_graph(models.open(module), torch.as_tensor(PROMPT), transcoders, **more)


@engines("torch", "gpt2-linen", "gpt2-haiku")
def test_every_edge_is_what_pushing_its_source_forwards_by_hand_gives(engine: Engine) -> None:
    transcoders = at_random()
    graph = made(engine, gpt2(), transcoders)
    assert graph.how == "in closed form"
    nodes, truth = graph.nodes, by_hand(gpt2(), PROMPT, transcoders)
    names = [(each.kind, each.layer, each.position, each.index) for each in map(nodes.__getitem__, range(len(nodes)))]
    table, compared = graph.array, 0
    for target in [*nodes.those(FEATURE), *nodes.those(LOGIT)]:
        kind, *where = names[target]
        row = truth["logit", where[2]] if kind == "logit" else truth[tuple(where)]
        expected = [row.get(name, 0.0) for name in names]
        np.testing.assert_allclose(table[target], expected, atol=1e-10)
        compared += len(row)
    assert compared > 5_000


@engines("torch", "gpt2-linen", "gpt2-equinox-scan")
def test_g11_edges_and_biases_add_up_to_each_pre_activation(engine: Engine) -> None:
    graph = made(engine, gpt2(), at_random(skip=True))
    assert graph.gap < 1e-12
    assert np.abs(graph.unexplained).max() < 1e-10
    features = graph.nodes.those(FEATURE)
    np.testing.assert_allclose(graph.reached[features], graph.nodes.activation[features], atol=1e-10)
    assert np.abs(graph.bias[features]).min() > 1e-3, "biases are a real part of it"


@pytest.mark.parametrize("more", [{}, {"skip": True}, {"cross": True}, {"k": 5}, {"threshold": np.array(0.4)}], ids=str)
@pytest.mark.parametrize("build", [gpt2, llama])
def test_closed_form_and_backward_passes_agree(build: Any, more: dict[str, Any]) -> None:
    fast, slow = (on_torch(build(), at_random(**more), how=how) for how in ("adjoint", "vjp"))
    # transformers takes Llama's norms, and their gradients, in float32.
    close = 1e-10 if build is gpt2 else 1e-5
    np.testing.assert_allclose(fast.array, slow.array, atol=close)
    assert np.abs(fast.unexplained).max() < close
    assert (fast.how, slow.how) == ("in closed form", "by backward passes")


@engines("gpt2-linen", "llama-linen")
def test_jax_has_the_numbers_of_torch(engine: Engine) -> None:
    build = gpt2 if engine.name.startswith("gpt2") else llama
    ours, theirs = made(engine, build(), at_random()), on_torch(build(), at_random())
    close = 1e-10 if build is gpt2 else 1e-4  # torch's Llama is as exact as float32 norms
    np.testing.assert_allclose(ours.array, theirs.array, atol=close)
    np.testing.assert_allclose(ours.influence, theirs.influence, atol=close)
    assert np.abs(ours.unexplained).max() < 1e-5


@pytest.mark.parametrize("how", ["adjoint", "vjp"])
def test_how_many_prompts_share_a_batch_makes_no_difference(how: Any) -> None:
    one, many = (on_torch(gpt2(), at_random(skip=True), how=how, at_once=at_once) for at_once in (3, 64))
    np.testing.assert_allclose(one.array, many.array, atol=1e-12)
    assert one.made.cost.backward > many.made.cost.backward


SMALL = {
    "num_hidden_layers": 3, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "vocab_size": 50,
}  # fmt: skip
GROUPED = {**SMALL, "num_key_value_heads": 2, "head_dim": 8}
FAMILIES = {
    "parallel with two norms": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SMALL)),
    "parallel with one norm": lambda: PhiForCausalLM(PhiConfig(**SMALL)),
    "grouped queries, norms of queries and keys": lambda: Qwen3ForCausalLM(Qwen3Config(**GROUPED)),
    "norms behind attention and MLP": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**GROUPED)),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_models_have_their_closed_form(name: str) -> None:
    torch.manual_seed(0)
    module = randomised(FAMILIES[name]().double().eval())
    fast, slow = (on_torch(module, at_random(skip=True), how=how) for how in ("adjoint", "vjp"))
    np.testing.assert_allclose(fast.array, slow.array, atol=1e-5)
    assert np.abs(fast.unexplained).max() < 1e-5
    assert np.abs(fast.array).max() > 0.1


class HeadsNormed(nn.Module):
    """Values with a norm for each head: what a layer does is then no longer one matrix for all positions."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.norm = inner, nn.RMSNorm(8).double()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.inner(hidden)
        return self.norm(values.unflatten(-1, (-1, 8))).flatten(-2)


def test_where_the_closed_form_does_not_hold_backward_passes_are_taken_and_named() -> None:
    module: Any = llama()
    for block in module.model.layers:
        block.self_attn.v_proj = HeadsNormed(block.self_attn.v_proj)
    graph = on_torch(module, at_random())
    assert graph.how.startswith("by backward passes, since ")
    assert "is not one map for all positions" in graph.says
    assert np.abs(graph.unexplained).max() < 1e-5
    with pytest.raises(MethodError, match="not one map for all positions"):
        on_torch(module, at_random(), how="adjoint")


@engines("torch", "gpt2-linen")
def test_perfect_transcoders_leave_no_error(engine: Engine) -> None:
    model, inputs = engine.open(gpt2(), PROMPT), engine.array(PROMPT)
    with engine.differentiating():
        nothing_left(attribution_graph(model, inputs, fitted(model, inputs)))


def test_a_relu_mlp_is_a_transcoder_of_its_neurons() -> None:
    module = relu_gpt2()
    nothing_left(on_torch(module, of_neurons(module)))
    partial = on_torch(module, dict(enumerate(of_neurons(module)[:2])))
    assert partial.replacement < 0.99, "the last MLP, which has no transcoder, is an error as a whole"


def nothing_left(graph: Graph) -> None:
    assert np.abs(graph.array[:, graph.nodes.kind == ERROR]).max() < 1e-11
    assert graph.replacement == pytest.approx(1, abs=1e-11)
    assert graph.completeness == pytest.approx(1, abs=1e-11)
    cut = graph.pruned()
    assert not (cut.nodes.kind == ERROR).any()
    assert (cut.nodes.kind == FEATURE).any()


def test_targets_are_the_likely_tokens_or_those_that_are_named() -> None:
    module, transcoders = gpt2(), at_random()
    with torch.no_grad():
        chances = module(torch.as_tensor(PROMPT)).logits[0].softmax(-1)
    for pos in (-1, 3):
        graph = on_torch(module, transcoders, targets=4, pos=pos)
        logits = graph.nodes.those(LOGIT)
        assert set(graph.nodes.index[logits]) == set(chances[pos].topk(4).indices.tolist())
        np.testing.assert_allclose(graph.weights[logits], chances[pos][graph.nodes.index[logits]], atol=1e-12)
        assert set(graph.nodes.position[logits]) == {pos % 6}
    assert sorted(on_torch(module, transcoders, targets=[7, 3]).answers) == [3, 7]
    asked = on_torch(module, transcoders)
    assert len(asked.answers) <= 10
    assert asked.weights.sum() > 0.95 or len(asked.answers) == 10


def test_what_makes_no_graph_is_refused_by_name() -> None:
    model, one, given = models.open(gpt2()), torch.as_tensor(PROMPT), at_random()
    cases: list[tuple[Any, str]] = [
        (lambda: attribution_graph(model, torch.as_tensor(tokens(2, 6)), given), "one prompt, got inputs .* 2"),
        (lambda: attribution_graph(model, one, given[:2]), "2 transcoders for 3 layers"),
        (lambda: attribution_graph(model, one, {}), "expected a transcoder, got none"),
        (lambda: attribution_graph(model, one, {5: given[0]}), "for a layer from 0 to 2, got Transcoder for 5"),
        (lambda: attribution_graph(model, one, at_random(cross=True)[:1] * 3), "writes into 3 layers, and only 2"),
        (lambda: attribution_graph(model, one, given, targets=[1, 1]), r"each once, got \[1, 1\]"),
        (lambda: attribution_graph(model, one, given, targets=0), "got 0"),
        (lambda: attribution_graph(model, one, given, targets=[50]), r"got \[50\]"),
        (lambda: attribution_graph(model, one, given, pos=6), "position 6 of a prompt of 6 tokens"),
        (lambda: attribution_graph(model, one, given, how="magic"), "how='magic'"),  # type: ignore[arg-type]
        (lambda: attribution_graph(model, one, narrow()), "reads 8 dims, and .* has 32"),
    ]
    for refused, says in cases:
        with pytest.raises(MethodError, match=says):
            refused()
    with pytest.raises(SiteError, match="needs a row of blocks"):
        attribution_graph(models.open(nn.Linear(3, 3)), torch.zeros(1, 3), given)
    with pytest.raises(SiteError, match="expected an opened model, got GPT2LMHeadModel"):
        attribution_graph(gpt2(), one, given)  # type: ignore[arg-type]
    broken = gpt2()
    next(broken.parameters()).data[:] = float("nan")
    with pytest.raises((MethodError, SiteError), match="finite"):
        attribution_graph(models.open(broken), one, given)


def narrow() -> list[Transcoder]:
    return [Transcoder(np.ones((4, 8)), np.ones(4), np.ones((4, 32)), np.ones(32))] * 3


def test_without_an_active_feature_errors_and_tokens_are_all_there_is() -> None:
    silent = [replace(each, b_enc=each.b_enc - 1e3) for each in at_random()]
    graph = on_torch(gpt2(), silent)
    assert not len(graph.nodes.those(FEATURE))
    assert np.abs(graph.unexplained).max() < 1e-10
    assert graph.ranked() == []
    assert 0 < graph.replacement < 1
    assert graph.show().svg
    first = on_torch(gpt2(), {0: at_random()[0]})
    assert set(first.nodes.layer[first.nodes.those(FEATURE)]) == {0}
    assert np.abs(first.unexplained).max() < 1e-10


def test_a_text_is_a_prompt_and_its_words_name_what_stands_where(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=3, n_embd=32, n_head=4, vocab_size=len(WORDS), bos_token_id=0, eos_token_id=0)
    model = models.open(randomised(GPT2LMHeadModel(config).double().eval()), Words())
    with torch.no_grad():
        graph = attribution_graph(model, LONG, at_random(), targets=["a", "John"], most=12)
        again = attribution_graph(model, [LONG], at_random(), targets=["a", "John"], most=12)
    assert graph.tokens == tuple(LONG.split())
    assert sorted(graph.answers.values()) == ["John", "a"]
    np.testing.assert_array_equal(graph.array, again.array)
    picture = graph.pruned().show()
    assert "John" in picture.svg
    picture.png(tmp_path / "words.png")
    with pytest.raises(MethodError, match="one prompt"):
        attribution_graph(model, [LONG, LONG], at_random())


def test_evidence_of_half_precision_is_made_in_float32() -> None:
    graph = attribution_graph(models.open(gpt2().bfloat16()), torch.as_tensor(PROMPT), at_random())
    assert graph.array.dtype == np.float32
    assert "backward passes" in graph.how or graph.gap < 1e-4
