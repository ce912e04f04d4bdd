"""What a graph says of itself: influence, scores, pruning, its JSON and its picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from frameworks import tokens
from small_transformers import gpt2
from some_transcoders import at_random

from darklantern import models
from darklantern.errors import MethodError
from darklantern.methods.graphs import Graph, attribution_graph, perturb
from darklantern.methods.graphs.nodes import ERROR, FEATURE, LOGIT, TOKEN

PROMPT = torch.as_tensor(tokens(1, 6))


@pytest.fixture(scope="module")
def graph() -> Graph:
    return attribution_graph(models.open(gpt2()), PROMPT, at_random())


def shares(graph: Graph) -> Any:
    size = np.abs(graph.array)
    return size / np.maximum(size.sum(1, keepdims=True), 1e-10)


def test_influence_is_the_power_series_of_the_normalised_edges(graph: Graph) -> None:
    all_paths = np.linalg.inv(np.eye(len(graph.nodes)) - shares(graph)) - np.eye(len(graph.nodes))
    np.testing.assert_allclose(graph.influence, graph.weights @ all_paths, atol=1e-12)
    # What reaches a logit comes from tokens and errors in the end, and all of it does.
    roots = (graph.nodes.kind == TOKEN) | (graph.nodes.kind == ERROR)
    assert graph.influence[roots].sum() == pytest.approx(graph.weights.sum(), rel=1e-6)


def test_scores_are_what_their_definitions_say(graph: Graph) -> None:
    kind, influence = graph.nodes.kind, graph.influence
    tokens, errors = influence[kind == TOKEN].sum(), influence[kind == ERROR].sum()
    assert graph.replacement == pytest.approx(tokens / (tokens + errors))
    weight = influence + graph.weights
    explained = 1 - shares(graph)[:, kind == ERROR].sum(1)
    assert graph.completeness == pytest.approx((explained * weight).sum() / weight.sum())
    assert {each.name: each.value for each in graph.figures}["replacement score"] == graph.replacement


@pytest.mark.parametrize(("nodes", "edges"), [(0.8, 0.98), (0.5, 0.9), (1.0, 1.0)])
def test_pruning_keeps_what_carries_the_influence(graph: Graph, nodes: float, edges: float) -> None:
    cut = graph.pruned(nodes, edges)
    kind = cut.nodes.kind
    assert len(cut.nodes.those(TOKEN)) == 6
    assert len(cut.nodes.those(LOGIT)) == len(graph.nodes.those(LOGIT))
    table = cut.array
    assert (table[:, kind == FEATURE] != 0).any(0).all()
    assert (table[kind == FEATURE] != 0).any(1).all()
    assert (table[:, kind == ERROR] != 0).any(0).all()
    # The same edges as before, or none.
    whole = {(str(graph.nodes[s]), str(graph.nodes[t])): e for s, t, e in graph.edges()}
    for source, target, effect in cut.edges():
        assert whole[str(cut.nodes[source]), str(cut.nodes[target])] == effect
    # Nodes that stay have at least the share that was asked for, but for those that then hang loose.
    names = {str(cut.nodes[number]) for number in range(len(cut.nodes))}
    kept = [str(graph.nodes[number]) in names for number in range(len(graph.nodes))]
    assert graph.influence[kept].sum() >= (nodes - 0.02) * graph.influence.sum()
    if nodes == 1:
        assert len(cut.nodes) >= len(graph.nodes) - 20 * 6  # the last layer's features are not read at other positions
    else:
        assert len(cut.nodes) < len(graph.nodes)


def test_pruning_twice_by_less_is_pruning_more(graph: Graph) -> None:
    sizes = [sum(1 for _ in graph.pruned(share, share).edges()) for share in (0.3, 0.6, 0.9)]
    assert sizes == sorted(sizes)
    for share in (0, -1, 1.5):
        with pytest.raises(MethodError, match="share of influence above 0"):
            graph.pruned(share)


def test_the_picture_shows_what_the_json_has(graph: Graph, tmp_path: Path) -> None:
    graph.save(tmp_path / "graph.json")
    held = json.loads((tmp_path / "graph.json").read_text())
    assert (held["format"], held["version"]) == ("darklantern.attribution-graph", 1)
    assert held["prompt"]["tokens"] == [str(int(each)) for each in PROMPT[0]]
    assert held["scores"]["replacement"] == graph.replacement
    assert [node["id"] for node in held["nodes"]] == list(range(len(graph.nodes)))
    assert len(held["edges"]) == sum(1 for _ in graph.edges())
    sums = dict.fromkeys(range(len(graph.nodes)), 0.0)
    for edge in held["edges"]:
        assert held["nodes"][edge["source"]]["layer"] < held["nodes"][edge["target"]]["layer"]
        sums[edge["target"]] += edge["effect"]
    for node in held["nodes"]:
        assert sums[node["id"]] + node["bias"] == pytest.approx(node["value"], abs=1e-10)
    # Each edge that is drawn has a tooltip with its effect: all of them are edges of the JSON.
    picture = graph.pruned().show()
    drawn = {f"{edge['effect']:.3g}" for edge in json.loads(graph.pruned().json())["edges"]}
    told = [line.rpartition(": ")[2].strip().replace("−", "-") for line in picture.svg.split("<title>")[2:]]
    effects = [each.partition("<")[0].strip() for each in told if " → " in each or each]
    assert effects
    assert sum(f"{float(each):.3g}" in drawn for each in effects) == len(effects)
    picture.png(tmp_path / "graph.png")
    assert (tmp_path / "graph.png").stat().st_size > 10_000


def test_nodes_and_edges_are_found_by_what_they_are(graph: Graph) -> None:
    number, influence = graph.ranked()[0]
    node = graph.nodes[number]
    assert graph.node("feature", node.position, node.layer, node.index) == number
    assert influence == max(graph.influence[graph.nodes.those(FEATURE)])
    assert graph.node("token", -1) == graph.node("token", 5)
    source, target, effect = next(iter(graph.edges()))
    assert graph.edge(source, target) == effect
    assert graph.edge(target, source) == 0
    with pytest.raises(MethodError, match="0 nodes are a feature at position 0, layer 9"):
        graph.node("feature", 0, 9, 0)
    with pytest.raises(MethodError, match="3 nodes are a error at position 0"):
        graph.node("error", 0)


def test_a_graph_is_evidence(graph: Graph) -> None:
    evidence = graph.evidence()
    assert evidence.method == "attribution_graph"
    assert evidence.provenance.seed == 0
    assert {"replacement score", "completeness score", "features"} <= {each.name for each in evidence.figures}
    assert "layers.1.mlp:in" in evidence.sites
    again = attribution_graph(models.open(gpt2()), PROMPT, at_random())
    assert again.evidence() == evidence
    other = attribution_graph(models.open(gpt2()), PROMPT, at_random(seed=1))
    assert other.evidence().provenance.data != evidence.provenance.data, "transcoders are data of it"
    assert graph.made.cost.backward < 20


@pytest.mark.parametrize("more", [{}, {"cross": True}, {"skip": True}], ids=str)
def test_the_strongest_features_alone_make_a_graph_that_still_adds_up(more: dict[str, Any]) -> None:
    model, transcoders = models.open(gpt2()), at_random(**more)
    whole, some = (attribution_graph(model, PROMPT, transcoders, most=most) for most in (None, 30))
    assert len(some.nodes.those(FEATURE)) == 30
    assert some.left_out == len(whole.nodes.those(FEATURE)) - 30
    assert f"30 features (of {30 + some.left_out})" in some.says
    assert np.abs(some.unexplained).max() < 1e-10, "what is left out is in the errors"
    assert some.replacement < whole.replacement
    # Edges between nodes that are features in both are the same.
    for source, target, effect in some.edges():
        ends = some.nodes[source], some.nodes[target]
        if ends[0].kind in ("feature", "token"):
            numbers = [whole.node(each.kind, each.position, each.layer, each.index) for each in ends]
            assert whole.edge(*numbers) == pytest.approx(effect, abs=1e-12)
    # They are about those of most influence in the whole graph.
    first = {str(whole.nodes[number]) for number, _ in whole.ranked()[:30]}
    assert len(first & {str(some.nodes[number]) for number in some.nodes.those(FEATURE)}) >= 20
    with pytest.raises(MethodError, match="left out of the graph"):
        perturb(model, PROMPT, transcoders, some, some.node("error", 2, 0))
    for wrong in (0, -3):
        with pytest.raises(MethodError, match=f"most={wrong}"):
            attribution_graph(model, PROMPT, transcoders, most=wrong)
    assert attribution_graph(model, PROMPT, transcoders, most=10_000).left_out == 0


def test_graphs_are_compared_by_identity(graph: Graph) -> None:
    assert graph == graph
    assert graph != graph.pruned()
    assert len({graph, graph.pruned()}) == 2
