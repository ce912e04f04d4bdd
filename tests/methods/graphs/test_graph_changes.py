"""G12: a change of one node in the frozen model is its edges. And what attention scores are made of, pair by pair."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch
from frameworks import Engine, engine, engines, tokens
from small_transformers import gpt2, llama
from some_transcoders import at_random

from darklantern import models
from darklantern.errors import MethodError
from darklantern.methods.graphs import attribution_graph, edge_parts, perturb, score_parts
from darklantern.methods.graphs.prompts import prompt
from darklantern.methods.graphs.replacing import replaced
from darklantern.methods.graphs.scores import BIAS
from darklantern.models import edits
from darklantern.models.sites import Site, parse

__all__ = ["engine"]
PROMPT = tokens(1, 6)


@engines("torch", "gpt2-linen", "gpt2-haiku")
def test_g12_a_node_changed_in_the_frozen_model_moves_each_target_by_its_edge(engine: Engine) -> None:
    model, inputs, transcoders = engine.open(gpt2(), PROMPT), engine.array(PROMPT), at_random()
    with engine.differentiating():
        graph = attribution_graph(model, inputs, transcoders)
    features = [number for number, _ in graph.ranked()]
    for node in (features[0], features[30], graph.node("error", 2, 1), graph.node("token", 3)):
        for by in (-1.0, 0.7):
            found = perturb(model, inputs, transcoders, graph, node, by)
            assert found.gap < 1e-9
            assert np.abs(found.predicted).max() > 1e-3
            assert len(found.targets) == (graph.array[:, node] != 0).sum()


@pytest.mark.parametrize("more", [{"skip": True}, {"cross": True}], ids=str)
@pytest.mark.parametrize("build", [gpt2, llama])
def test_g12_with_skip_connections_and_across_layers(build: Any, more: dict[str, Any]) -> None:
    model, inputs, transcoders = models.open(build()), torch.as_tensor(PROMPT), at_random(**more)
    graph = attribution_graph(model, inputs, transcoders)
    close = 1e-9 if build is gpt2 else 1e-5  # transformers takes Llama's norms in float32
    for node in (graph.ranked()[0][0], graph.ranked()[50][0], graph.node("error", 4, 0)):
        assert perturb(model, inputs, transcoders, graph, node).gap < close


def test_small_true_changes_follow_the_edges_where_nothing_lies_between(tmp_path: Path) -> None:
    model, inputs, transcoders = models.open(gpt2()), torch.as_tensor(PROMPT), at_random()
    graph = attribution_graph(model, inputs, transcoders)
    # After the last MLP comes only the norm: its denominator moves, by little where the change is small.
    last = next(number for number, _ in graph.ranked() if graph.nodes.layer[number] == 2)
    found = perturb(model, inputs, transcoders, graph, last, 1e-3)
    assert found.agreement > 0.9
    large = perturb(model, inputs, transcoders, graph, graph.ranked()[0][0], -1)
    assert np.abs(large.true - large.predicted).max() > 1e-3, "the true model does move what the frozen one holds"
    large.show().png(tmp_path / "changes.png")
    assert large.evidence().figures[0].value == large.gap


def test_nodes_that_cannot_be_changed_are_refused() -> None:
    model, inputs, transcoders = models.open(gpt2()), torch.as_tensor(PROMPT), at_random()
    graph = attribution_graph(model, inputs, transcoders)
    logit = len(graph.nodes) - 1
    with pytest.raises(MethodError, match=r"logit '.*' has no edge to any node"):
        perturb(model, inputs, transcoders, graph, logit)
    with pytest.raises(MethodError, match="node 100000 of"):
        perturb(model, inputs, transcoders, graph, 100_000)
    with pytest.raises(MethodError, match="another prompt"):
        perturb(model, inputs[:, :3], transcoders, graph, graph.node("token", 5))


@engines("torch", "gpt2-linen")
def test_an_attention_score_is_the_sum_over_pairs_of_nodes(engine: Engine) -> None:
    model, inputs, transcoders = engine.open(gpt2(), PROMPT), engine.array(PROMPT), at_random(skip=True)
    scores = model.record(inputs, "layers.*.attn:scores")
    for layer, head, query, key in ((2, 1, 5, 2), (1, 0, 4, 4), (0, 3, 3, 1)):
        site = f"layers.{layer}.attn:scores[head={head},pos={query},key={key}]"
        with engine.differentiating():
            found = score_parts(model, inputs, transcoders, site)
        assert found.score == pytest.approx(float(np.asarray(scores[site])[0]))
        assert found.gap < 1e-10
        assert abs(found.rest) < 1e-10
        assert found.by_query.sum() == pytest.approx(found.score, abs=1e-9)
        assert found.by_key.sum() == pytest.approx(found.score, abs=1e-9)
        assert not found.by_key[:-1][found.nodes.position > key].any(), "a key knows nothing of what comes later"


@engines("torch", "llama-linen")
def test_scores_with_rotation_and_shared_keys(engine: Engine) -> None:
    example = {"input_ids": PROMPT, "attention_mask": np.ones_like(PROMPT)}
    model, inputs = engine.open(llama(), example), jax.tree.map(engine.array, example)
    with engine.differentiating():
        found = [
            score_parts(model, inputs, at_random(), f"layers.2.attn:scores[head={head},pos=-1,key=2]")
            for head in range(4)
        ]
    assert all(each.gap < 1e-5 for each in found)
    # Of four heads two share their keys, whatever their queries.
    np.testing.assert_allclose(found[0].key, found[1].key)
    assert np.abs(found[1].key - found[2].key).max() > 1e-3


def test_what_a_source_adds_to_a_score_is_what_taking_it_away_takes(tmp_path: Path) -> None:
    model, inputs, transcoders = models.open(gpt2()), torch.as_tensor(PROMPT), at_random()
    site = "layers.1.attn:scores[head=2,pos=5,key=3]"
    found = score_parts(model, inputs, transcoders, site)
    frozen = model.record(inputs, "layers.*.attn:pattern", "**:scale")
    # The first MLP's constant aside, take the token at 3 out of what enters, all else held.
    held: dict[str | Site, Any] = {each: edits.take(frozen) for each in frozen.sites}
    mlp = model.record(inputs, "layers.0.mlp:out")
    held[parse("layers.0.mlp:out")] = edits.take(mlp)
    held[parse("layers.0:in[pos=3]")] = edits.zero()
    without = model.record(inputs, "layers.1.attn:scores", edits=held)
    token = found.nodes.find("token", 3)
    change = found.pairs.sum() - np.delete(np.delete(found.pairs, token, 0), token, 1).sum()
    assert found.score - float(np.asarray(without[site])[0]) == pytest.approx(change, abs=1e-10)
    query, key, value = found.ranked(1)[0]
    assert abs(value) == np.abs(found.pairs).max()
    assert min(query, key) >= BIAS
    assert found.says_of(BIAS) == "biases"
    found.show().png(tmp_path / "score.png")
    assert found.evidence().sites == ("layers.1.attn:scores[head=2,key=3,pos=5]",)


def test_what_is_no_single_score_is_refused() -> None:
    model, inputs, transcoders = models.open(gpt2()), torch.as_tensor(PROMPT), at_random()
    for site, says in (
        ("layers.1.attn:scores[head=1,pos=2]", "expected one attention score"),
        ("layers.1.attn:scores[head=*,pos=2,key=1]", "expected one attention score"),
        ("layers.1.attn:pattern[head=1,pos=2,key=1]", "expected one attention score"),
        ("layers.1.attn:scores[head=4,pos=2,key=1]", "head counts 4"),
        ("layers.1.attn:scores[head=1,pos=2,key=3]", "a mask forbids it"),
    ):
        with pytest.raises(MethodError, match=says):
            score_parts(model, inputs, transcoders, site)


@engines("torch", "gpt2-linen")
def test_an_edge_is_the_sum_over_the_last_heads_on_its_way(engine: Engine) -> None:
    model, inputs, transcoders = engine.open(gpt2(), PROMPT), engine.array(PROMPT), at_random(skip=True)
    with engine.differentiating():
        graph = attribution_graph(model, inputs, transcoders)
        edges = list(graph.edges())
        for number in np.random.default_rng(0).permutation(len(edges))[: 12 if engine.name == "torch" else 3]:
            found = edge_parts(model, inputs, transcoders, graph, edges[number].source, edges[number].target)
            assert found.effect == edges[number].effect
            assert found.gap < 1e-10
            if found.source.position != found.target.position:
                assert found.straight == 0, "only attention moves anything between positions"


@pytest.mark.parametrize("build", [gpt2, llama])
def test_the_part_of_a_head_is_what_its_pattern_carries(build: Any, tmp_path: Path) -> None:
    model, inputs, transcoders = models.open(build()), torch.as_tensor(PROMPT), at_random()
    graph = attribution_graph(model, inputs, transcoders)
    source = graph.node("error", 2, 0)
    target = next(e.target for e in graph.edges() if e.source == source and graph.nodes.layer[e.target] == 1)
    found = edge_parts(model, inputs, transcoders, graph, source, target)
    # Between both there is the second layer's attention alone. Hold all else, and take the source out of the stream.
    frozen = model.record(inputs, "layers.*.attn:pattern", "**:scale", "layers.0.mlp:out", "layers.1.mlp:in")
    held: dict[str | Site, Any] = {each: edits.take(frozen) for each in frozen.sites if each.port != "in"}
    error = replaced(model, prompt(model, inputs), transcoders).vector(graph.nodes[source], 0)
    assert error is not None
    position, feature = found.target.position, found.target.index

    def effect(pattern: Any) -> float:
        """What the source adds with this pattern."""
        before, after = (
            model.record(
                inputs,
                "layers.1.mlp:in",
                edits={
                    **held,
                    parse("layers.1.attn:pattern"): edits.put(pattern),
                    parse("layers.0.mlp:out[pos=2]"): [edits.take(frozen), edits.add(-by * torch.as_tensor(error))],
                },
            )["layers.1.mlp:in"].array[0, position]
            for by in (0, 1)
        )
        return float((before - after).detach().numpy() @ transcoders[1].W_enc[feature])

    pattern = frozen["layers.1.attn:pattern"].array
    for head in range(4):
        without = pattern.clone()
        without[:, head] = 0
        carried = effect(pattern) - effect(without)
        assert found.heads[1, head].sum() == pytest.approx(carried, abs=1e-9 if build is gpt2 else 1e-5)
    site, value = found.ranked(1)[0]
    assert abs(value) == np.abs(found.heads).max()
    assert score_parts(model, inputs, transcoders, site).gap < 1e-5
    found.show().png(tmp_path / "edge.png")
    assert found.evidence().figures[0].value == found.effect


def test_without_an_edge_there_are_no_parts() -> None:
    model, inputs, transcoders = models.open(gpt2()), torch.as_tensor(PROMPT), at_random()
    graph = attribution_graph(model, inputs, transcoders)
    with pytest.raises(MethodError, match="there is no edge from logit"):
        edge_parts(model, inputs, transcoders, graph, len(graph.nodes) - 1, 0)
