"""`edge_parts`: which attention heads an edge passes, so that their scores can be asked why they look there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darklantern.drawing import Axis, Field, fields
from darklantern.errors import MethodError
from darklantern.methods.graphs.adjoint import Adjoint, Parted, adjoint
from darklantern.methods.graphs.graph import Graph
from darklantern.methods.graphs.nodes import FEATURE, LOGIT, Node, Numbers
from darklantern.methods.graphs.prompts import prompt
from darklantern.methods.graphs.replacing import Replacement, replaced
from darklantern.methods.graphs.rows import targets_of
from darklantern.methods.graphs.transcoders import Transcoder
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.methods.results import Result
from darklantern.models.opened import Model
from darklantern.models.picture import Picture
from darklantern.models.sites import Site
from darklantern.records.findings import Figure

_AT_ONCE = 64
"""keys whose gradients are carried at once"""
_TOLD = 10


@dataclass(frozen=True, eq=False, repr=False)
class EdgeParts(Result):
    """An edge as a sum over the last head on the way from source to target, and the way without any head."""

    source: Node
    target: Node
    effect: float
    """the edge"""
    straight: float
    """what stays at its position all the way, in the residual stream and through skip connections"""
    heads: Numbers
    """(layer, head, key): what comes by this head from this position, be it there by itself or by earlier heads"""
    tokens: tuple[str, ...]

    @property
    def gap(self) -> float:
        """By how much the parts' sum and the edge differ."""
        return float(abs(self.straight + self.heads.sum() - self.effect))

    def ranked(self, count: int = _TOLD) -> list[tuple[Site, float]]:
        """The heads and positions that carry most: each as the score that `score_parts` takes apart."""
        order = np.argsort(-np.abs(self.heads), axis=None, kind="stable")[:count]
        places = zip(*np.unravel_index(order, self.heads.shape), strict=True)
        return [
            (
                Site(f"layers.{layer}.attn", "scores").at(head=int(head), pos=self.target.position, key=int(key)),
                float(self.heads[layer, head, key]),
            )
            for layer, head, key in places
        ]

    __eq__ = object.__eq__  # arrays have no one answer
    __hash__ = object.__hash__

    @property
    def says(self) -> str:
        site, most = self.ranked(1)[0]
        return (
            f"{self.source} adds {self.effect:.4g} to {self.target}: {self.straight:.4g} without attention, most by a "
            f"head {most:.4g}, {site}"
        )

    @property
    def figures(self) -> tuple[Figure, ...]:
        named = (("edge", self.effect), ("without attention", self.straight), ("gap to the sum", self.gap))
        heads = ((str(site), value) for site, value in self.ranked())
        return tuple(Figure(name=name, value=value, unit="pre-activation") for name, value in (*named, *heads))

    @property
    def read(self) -> tuple[Site, ...]:
        return tuple(site for site, _ in self.ranked())

    def show(self) -> Picture:
        """Heads down, positions that they look at across, a field for each layer that carries something."""
        carrying = [layer for layer, each in enumerate(self.heads) if each.any()] or [0]
        shown = [Field(f"layer {layer}", self.heads[layer].tolist()) for layer in carrying]
        title = f"{self.source} → {self.target}"
        down = Axis("head", range(self.heads.shape[1]))
        svg = fields(shown, down, Axis("key", range(len(self.tokens)), self.tokens), title=title, says=self.says)
        return Picture(svg, title, self.says)


def edge_parts(
    model: Model,
    inputs: Any,
    transcoders: Sequence[Transcoder] | Mapping[int, Transcoder],
    graph: Graph,
    source: int,
    target: int,
    at_once: int = 32,
) -> EdgeParts:
    """Which heads carry the edge of `graph` from `source` to `target`, by their numbers.

    An edge is a sum over paths through the residual stream and attention heads. Each path counts for the last head on
    it, the one that brings it to the target's position; those without a head are the rest. So the parts add up to the
    edge. `score_parts` then says why such a head looks where it does.

    Model, inputs and transcoders are those that the graph was made of. In closed form only; costs four passes. Raises
    MethodError for nodes without an edge between them, and where the closed form does not hold.
    """
    check_opened(model)
    effect = graph.edge(source, target)
    if not effect:
        raise MethodError(
            f"there is no edge from {graph.says_of(source)} to {graph.says_of(target)}",
            hint="graph.edges() has them all",
        )
    graph.check_known(source)
    with making("edge_parts", model) as under_way:
        one = replaced(model, prompt(model, inputs), transcoders)
        under_way.saw(one.prompt.inputs, source, target)
        asked = targets_of(one, graph.nodes, np.array([target]))
        logits = asked if graph.nodes.kind[target] == LOGIT else _any_logit(one, graph)
        way = adjoint(one, logits, at_once)
        written = {layer: one.vector(graph.nodes[source], layer) for layer in range(-1, one.layers)}
        vectors = {layer: each for layer, each in written.items() if each is not None}
        feature = graph.nodes.kind[target] == FEATURE
        start = way.entered(asked) if feature else way.logits
        top = asked.layer if feature else asked.layer - 1
        at = (int(graph.nodes.position[source]), int(graph.nodes.position[target]))
        straight, heads = _parts(way, start, top, vectors, at)
    return EdgeParts(
        made=under_way.made(),
        source=graph.nodes[source],
        target=graph.nodes[target],
        effect=effect,
        straight=straight,
        heads=heads,
        tokens=graph.tokens,
    )


def _any_logit(one: Replacement, graph: Graph) -> Any:
    return targets_of(one, graph.nodes, graph.nodes.those(LOGIT)[:1])


def _parts(
    way: Adjoint, start: Parted, top: int, vectors: Mapping[int, Numbers], at: tuple[int, int]
) -> tuple[float, Numbers]:
    """What passes no head, and what passes each as the last; of a source and a target at these positions."""
    one, (source, target) = way.replacement, at
    count = max((len(each) for each in one.patterns.values()), default=1)
    heads, straight = np.zeros((one.layers, count, one.positions)), 0.0
    entrance = start.entrance
    for layer in range(top, -1, -1):
        parted = start if layer == top else way.parted(layer, entrance)
        if source == target and layer in vectors and parted.written.any():
            straight += float(parted.written[source, 0] @ vectors[layer])
        if layer <= min(vectors):
            return straight, heads
        whole = way.skipped(layer, parted)
        if whole.heads is not None:
            heads[layer] = list(_by_head(way, layer, whole.heads[target, 0], vectors, at))
        entrance = whole.entrance
    if source == target:
        straight += float(entrance[source, 0] @ vectors[-1])
    return straight, heads


def _by_head(
    way: Adjoint, layer: int, given: Numbers, vectors: Mapping[int, Numbers], at: tuple[int, int]
) -> Iterator[Numbers]:
    """Of each head of a layer, (key,): what comes by it, `given` being the gradient at what the heads made."""
    source, target = at
    patterns = way.heads[layer]
    by_head = given.reshape(len(patterns), -1)
    for head, row in enumerate(by_head):
        made = np.zeros(patterns.shape[-1])
        # In causal attention nothing comes from before the source, or from behind the target.
        keys = [key for key in range(len(made)) if patterns[head, target, key]]
        for first in range(0, len(keys), _AT_ONCE):
            some = np.array(keys[first : first + _AT_ONCE])
            values = np.zeros((len(patterns), len(made), len(some), len(row)), given.dtype)
            values[head, some, np.arange(len(some))] = patterns[head, target, some, None] * row
            for lower, gradient in way.walked(layer, way.from_values(layer, values)):
                if lower in vectors:
                    made[some] += gradient[source] @ vectors[lower]
                if lower <= min(vectors):
                    break
        yield made
