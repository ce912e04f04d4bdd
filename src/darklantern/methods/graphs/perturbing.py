"""`perturb`: one node changed, in the frozen model, where edges hold exactly, and in the model as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darklantern.drawing import Bar, bars
from darklantern.errors import MethodError
from darklantern.methods.graphs.graph import Graph
from darklantern.methods.graphs.held import held
from darklantern.methods.graphs.nodes import Ints, Node, Numbers
from darklantern.methods.graphs.prompts import prompt
from darklantern.methods.graphs.replacing import Replacement, ordered, replaced
from darklantern.methods.graphs.rows import targets_of
from darklantern.methods.graphs.transcoders import Transcoder
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.methods.results import Result
from darklantern.models.edits import add
from darklantern.models.opened import Model
from darklantern.models.picture import Picture
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site
from darklantern.records.findings import Figure

_TOLD = 8
"""targets with figures of their own, and bars"""


@dataclass(frozen=True, eq=False, repr=False)
class Perturbation(Result):
    """What a change of one node does to the nodes that it has an edge to.

    In the frozen model, where everything but the direct effect is held, that is its edges times the change. In the
    true one patterns and denominators move, and so do the features in between.
    """

    node: Node
    by: float
    """what is added to the node, as a share of what it is"""
    targets: tuple[Node, ...]
    predicted: Numbers
    """(target,): by the edges"""
    frozen: Numbers
    """(target,): as observed with all else held"""
    true: Numbers
    """(target,): as observed in the model as it is"""

    @property
    def gap(self) -> float:
        """Largest difference of a frozen change from its edge."""
        return float(np.abs(self.frozen - self.predicted).max())

    @property
    def agreement(self) -> float:
        """Pearson's correlation of true with predicted changes; NaN of fewer than three targets, or equal changes."""
        if len(self.targets) < 3 or not self.true.std() or not self.predicted.std():
            return float("nan")
        return float(np.corrcoef(self.true, self.predicted)[0, 1])

    __eq__ = object.__eq__  # arrays have no one answer
    __hash__ = object.__hash__

    @property
    def says(self) -> str:
        return (
            f"{self.node} changed by {self.by:+.0%}: frozen changes differ from edges by {self.gap:.2g} at most, "
            f"true ones correlate with them by {self.agreement:.2f}"
        )

    @property
    def figures(self) -> tuple[Figure, ...]:
        correlation = self.agreement
        told = [
            Figure(name=f"{self.targets[each]}: {name}", value=float(values[each]), unit="pre-activation")
            for each in self._strongest
            for name, values in (("predicted", self.predicted), ("frozen", self.frozen), ("true", self.true))
        ]
        known = [] if np.isnan(correlation) else [Figure(name="correlation of true with predicted", value=correlation)]
        gap = Figure(name="largest difference of frozen from predicted", value=self.gap, unit="pre-activation")
        return (gap, *known, *told)

    @property
    def _strongest(self) -> list[int]:
        return np.argsort(-np.abs(self.predicted), kind="stable")[:_TOLD].tolist()

    def show(self) -> Picture:
        """The strongest changes as bars: as the edges say, and as the true model shows them, in grey."""
        items = [
            Bar(label=f"{self.targets[each]}{more}", value=float(values[each]), control=bool(more))
            for each in self._strongest
            for values, more in ((self.predicted, ""), (self.true, ", true"))
        ]
        title = f"{self.node} changed by {self.by:+.0%}"
        note = "Blue: by its edges, as in the frozen model. Grey: in the model as it is."
        return Picture(bars(items, title=title, unit="pre-activation", note=note), title, self.says)


def perturb(
    model: Model,
    inputs: Any,
    transcoders: Sequence[Transcoder] | Mapping[int, Transcoder],
    graph: Graph,
    node: int,
    by: float = -1.0,
) -> Perturbation:
    """What changes where `graph` has an edge from `node`, when `by` times what the node writes is added to it.

    -1 takes the node away. Model, inputs and transcoders are those that the graph was made of. Costs three runs, and
    one more for each skip connection. Raises MethodError for a logit, a node without an edge, and a graph of others.
    """
    check_opened(model)
    targets, predicted = _edges(graph, node)
    graph.check_known(node)
    with making("perturb", model) as under_way:
        one = replaced(model, prompt(model, inputs), transcoders)
        under_way.saw(one.prompt.inputs, node, by)
        written = _written(one, graph, node, by)
        read = (_held(one, written), _true(one, written))
        frozen, true = (_changes(one, graph, targets, each) for each in read)
    nodes = tuple(graph.nodes[int(each)] for each in targets)
    return Perturbation(
        made=under_way.made(),
        node=graph.nodes[node],
        by=by,
        targets=nodes,
        predicted=by * predicted,
        frozen=frozen,
        true=true,
    )


def _edges(graph: Graph, node: int) -> tuple[Ints, Numbers]:
    """The targets that a node has edges to, and those."""
    if not 0 <= node < len(graph.nodes):
        raise MethodError(f"node {node} of {len(graph.nodes)}", hint="graph.node(kind, position, layer, index)")
    found = [(each, np.flatnonzero(each.columns == node)) for each in graph.rows]
    pairs = [(each.targets, each.effects[:, column[0]]) for each, column in found if len(column)]
    targets, effects = (np.concatenate([pair[side] for pair in pairs] or [np.zeros(0, int)]) for side in (0, 1))
    there = effects != 0
    if not there.any():
        raise MethodError(f"{graph.says_of(node)} has no edge to any node", hint="one that graph.ranked() has")
    return targets[there], effects[there].astype(np.float64)


def _written(one: Replacement, graph: Graph, node: int, by: float) -> dict[int, Numbers]:
    """What is added in each layer where the node writes, -1 for the embedding: (pos, dim)."""
    position, made = graph.nodes[node].position, {}
    if position >= one.positions or graph.nodes[node].layer >= one.layers:
        raise MethodError("the graph is of another prompt or model", hint="hand over what it was made of")
    for layer in range(-1, one.layers):
        vector = one.vector(graph.nodes[node], layer)
        if vector is not None:
            made[layer] = np.zeros((one.positions, len(vector)), vector.dtype)
            made[layer][position] = by * vector
    return made


def _held(one: Replacement, written: Mapping[int, Numbers]) -> dict[str, Numbers]:
    """What is read in the frozen model with these changes, less what is read there without."""
    base = {layer: one.value(one.write(layer), "pos", "dim") for layer in range(one.layers)}
    for layer, each in one.transcoders.items():
        if each.W_skip is not None:
            base[layer] = base[layer] - one.value(one.read(layer), "pos", "dim") @ each.W_skip.T
    changed = {layer: each + written.get(layer, 0) for layer, each in base.items()}
    found = held(one, one.embedding + written.get(-1, 0), changed)
    return {site: each - one.value(site, "pos", "dim") for site, each in found.items()}


def _true(one: Replacement, written: Mapping[int, Numbers]) -> dict[str, Numbers]:
    """The same in the model as it is."""
    sites = list(dict.fromkeys([*map(one.read, one.transcoders), one.logits]))
    edits: dict[str | Site, Any] = {
        "layers.0:in" if layer < 0 else one.write(layer): add(each[None]) for layer, each in written.items()
    }
    with without_gradients():
        found = one.model.record(one.prompt.inputs, *sites, edits=edits)
    return {site: ordered(found[site], "batch", "pos", "dim")[0] - one.value(site, "pos", "dim") for site in sites}


def _changes(one: Replacement, graph: Graph, targets: Ints, read: Mapping[str, Numbers]) -> Numbers:
    """By how much targets change where what is read changes by this. Those of one layer are of one kind."""
    made = np.zeros(len(targets))
    layers = graph.nodes.layer[targets]
    for layer in np.unique(layers):
        asked = targets_of(one, graph.nodes, targets[layers == layer])
        made[layers == layer] = np.einsum("td,td->t", read[asked.site][asked.positions], asked.vectors)
    return made
