"""`attribution_graph`: from a model, a prompt and transcoders to a graph."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

import numpy as np

from darklantern.errors import MethodError, SiteError
from darklantern.methods.graphs.adjoint import adjoint
from darklantern.methods.graphs.choosing import strongest
from darklantern.methods.graphs.graph import Graph
from darklantern.methods.graphs.held import biases
from darklantern.methods.graphs.nodes import FEATURE, LOGIT, Ints, Nodes, Numbers, sorted_nodes
from darklantern.methods.graphs.prompts import prompt
from darklantern.methods.graphs.replacing import Replacement, replaced
from darklantern.methods.graphs.rows import blocks, direct, targets_of
from darklantern.methods.graphs.transcoders import Transcoder
from darklantern.methods.graphs.vjps import ByVjp, Targets, Way
from darklantern.methods.making import making
from darklantern.methods.metrics import Token, token_number
from darklantern.methods.opened import check_opened
from darklantern.models.opened import Model

How = Literal["adjoint", "vjp"]
_MOST, _MASS = 10, 0.95
"""logits that are targets: as many as have this probability together, and no more than this"""
_CHECKED = 3
"""features whose edges are found in both ways; and a logit"""
_AGREE = 1e-4
"""share of the largest edge by which the two ways may differ"""


def attribution_graph(
    model: Model,
    inputs: Any,
    transcoders: Sequence[Transcoder] | Mapping[int, Transcoder],
    targets: int | Sequence[Token] | None = None,
    *,
    pos: int = -1,
    most: int | None = None,
    how: How | None = None,
    at_once: int = 32,
    seed: int = 0,
) -> Graph:
    """What acts directly on what, on one prompt, in `model` with its MLPs replaced by `transcoders`.

    Nodes are tokens (what enters the first layer at a position), active features, errors (what an MLP returned beyond
    its transcoder) and logits at position `pos`: the most probable ones that have 95 % together, ten at most; as many
    as `targets` says; or those of the tokens it names. Edges are exact in the model as it is on this prompt, with
    attention patterns, norms' denominators and errors held: what a node writes times the target's gradient there.

    By default in closed form, with products of matrices on the host: gradients walk down the residual stream, over no
    position that comes later, and what the layers' matrices are is found out from the model by one pass of basis
    vectors (see `maps`). A few rows drawn by `seed` are compared with backward passes of the model; where they differ,
    as in a model whose layers are no such matrices, and where it has no such sites, all rows are made by backward
    passes, and the result says so. `how="adjoint"` raises there instead, `"vjp"` takes backward passes from the start:
    one for each `at_once` targets.

    Layers without a transcoder, in a dict of them, count as errors as a whole. So does what all but the `most` features
    of most influence write, where there are more: edges are as many as pairs of nodes. Costs two runs, two or more
    forward and backward passes over `at_once` prompts, and memory for an edge from each node to each feature above
    that it can reach.

    Sources: Ameisen et al. 2025, Circuit Tracing; Dunefsky et al. 2024, Transcoders. Raises SiteError for a model
    without `layers.*`, `unembed` or attention patterns, and MethodError for several prompts, shapes that do not fit,
    and numbers that are not finite.
    """
    check_opened(model)
    if how not in (None, "adjoint", "vjp") or at_once < 1 or (most is not None and most < 1):
        raise MethodError(
            f"how={how!r}, at_once={at_once}, most={most}",
            hint='how=None, "adjoint" or "vjp"; at_once and most from 1 on, most=None for all features',
        )
    with making("attribution_graph", model, seed) as under_way:
        # 1. One run, and the nodes in it.
        one = replaced(model, prompt(model, inputs), transcoders)
        under_way.saw(one.prompt.inputs, *(_held(layer, each) for layer, each in one.transcoders.items()))
        nodes, answers = _with_logits(one, targets, pos)
        # 2. The way to find their edges; the closed form only where it gives what the model's own gradients do.
        way, gap = _way(one, nodes, how, at_once, seed)
        # 3. The edges, and what is no edge.
        active = len(nodes.those(FEATURE))
        if most is None or most >= active:
            rows = blocks(one, nodes, way)
        else:
            nodes, rows = strongest(one, nodes, way, most)
        reached, bias = _constants(one, nodes)
    return Graph(
        made=under_way.made(),
        nodes=nodes,
        rows=rows,
        reached=reached,
        bias=bias,
        tokens=one.prompt.texts(model, one.here, one.positions),
        answers=answers,
        sites=tuple(one.here),
        how=way.says,
        gap=gap,
        left_out=active - len(nodes.those(FEATURE)),
    )


def _held(layer: int, transcoder: Transcoder) -> dict[str, Any]:
    return {"layer": layer, **{each.name: getattr(transcoder, each.name) for each in fields(transcoder)}}


def _with_logits(one: Replacement, targets: int | Sequence[Token] | None, pos: int) -> tuple[Nodes, dict[int, str]]:
    """All nodes, and the texts of the logits' tokens."""
    logits = one.value(one.logits, "pos", "dim").astype(np.float64)
    if not -len(logits) <= pos < len(logits):
        raise MethodError(f"position {pos} of a prompt of {len(logits)} tokens", hint="pos=-1 is the last")
    at = pos % len(logits)
    shifted = np.exp(logits[at] - logits[at].max())
    chances = shifted / shifted.sum()
    chosen = _chosen(one.model, targets, chances)
    tokenizer: Any = getattr(one.model, "tokenizer", None)
    answers = {int(each): str(each) if tokenizer is None else tokenizer.decode([int(each)]) for each in chosen}
    logits_there = (LOGIT, one.layers, np.full(len(chosen), at), chosen, chances[chosen])
    return one.nodes().followed_by(sorted_nodes([logits_there])), answers


def _chosen(model: Model, targets: int | Sequence[Token] | None, chances: Numbers) -> Ints:
    """The numbers of the tokens whose logits are targets."""
    likely = np.argsort(-chances, kind="stable")
    if targets is None:
        return likely[: min(_MOST, int(np.searchsorted(np.cumsum(chances[likely]), _MASS)) + 1)]
    if isinstance(targets, int):
        found = likely[:targets] if 0 < targets <= len(chances) else None
    else:
        numbers = [token_number(model, each) for each in targets]
        fit = numbers and all(0 <= each < len(chances) for each in numbers) and len(set(numbers)) == len(numbers)
        found = np.array(numbers) if fit else None
    if found is None:
        raise MethodError(
            f"expected some of {len(chances)} tokens as targets, each once, got {targets!r}",
            hint="targets=5 for the most probable ones, or a list of tokens",
        )
    return found


def _way(one: Replacement, nodes: Nodes, how: How | None, at_once: int, seed: int) -> tuple[Way, float]:
    """The closed form where it is right, else backward passes; and by how much both differ."""
    exact = ByVjp(one, at_once)
    if how == "vjp":
        return exact, 0.0
    try:
        fast = adjoint(one, targets_of(one, nodes, nodes.those(LOGIT)), at_once)
        gap = _gap(one, nodes, exact, fast, seed)
        if gap <= _AGREE:
            return fast, gap
        raise MethodError(
            f"rows in closed form differ from backward passes by {gap:.2g} of the largest edge", hint='how="vjp"'
        )
    except (MethodError, SiteError) as error:
        if how == "adjoint":
            raise
        return ByVjp(one, at_once, f"by backward passes, since {error.message}"), 0.0


def _gap(one: Replacement, nodes: Nodes, exact: ByVjp, fast: Way, seed: int) -> float:
    """The largest difference in rows of a logit and of features of the last layer, as a share of the largest edge."""
    features, logits = nodes.those(FEATURE), nodes.those(LOGIT)
    last = features[nodes.layer[features] == nodes.layer[features].max(initial=-1)]
    chosen = np.sort(np.random.default_rng(seed).permutation(last)[:_CHECKED])
    groups = [(targets_of(one, nodes, each), count) for each, count in ((chosen, len(chosen)), (logits, 1)) if count]
    sources = {layer: one.sources(nodes, layer) for layer in range(-1, one.layers)}
    columns, reach = np.flatnonzero(nodes.kind != LOGIT), one.positions - 1
    asked = [Targets(each.site, each.layer, each.positions[:count], each.vectors[:count]) for each, count in groups]
    true = direct(sources, exact.together(asked), columns, reach, len(nodes))
    rows = [direct(sources, fast.gradients(each), columns, reach, len(nodes))[:count] for each, count in groups]
    pairs = zip(rows, np.split(true, np.cumsum([count for _, count in groups])[:-1]), strict=True)
    return max(float(np.abs(found - right).max() / (np.abs(right).max() or 1)) for found, right in pairs)


def _constants(one: Replacement, nodes: Nodes) -> tuple[Numbers, Numbers]:
    """Of each node that is a target, its value on the prompt, and what biases alone make of it."""
    read = biases(one)
    reached, bias = np.zeros(len(nodes)), np.zeros(len(nodes))
    logits = nodes.those(LOGIT)
    groups = [logits, *(np.flatnonzero((nodes.kind == FEATURE) & (nodes.layer == layer)) for layer in one.transcoders)]
    for group in (each for each in groups if len(each)):
        asked = targets_of(one, nodes, group)
        values = (one.value(asked.site, "pos", "dim"), read[asked.site])
        own = 0 if nodes.kind[group[0]] == LOGIT else one.transcoders[asked.layer].b_enc[nodes.index[group]]
        for column, value in zip((reached, bias), values, strict=True):
            column[group] = np.einsum("td,td->t", value[asked.positions], asked.vectors) + own
    return reached, bias
