"""The edges of a graph as blocks: for some targets, the direct effect of each source that can reach them.

Only a causal cone is kept: lower layers, and no later positions. So memory grows with what can be an edge, not with the
square of the number of nodes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.graphs.nodes import ERROR, FEATURE, LOGIT, TOKEN, Ints, Nodes, Numbers
from darklantern.methods.graphs.replacing import Replacement, Sources
from darklantern.methods.graphs.vjps import Gradient, Targets, Way
from darklantern.methods.progress import tracked

AT_ONCE = 2**17
"""numbers of a gradient that is carried at once: it should stay in a processor's cache"""
_LEAST = 64
"""targets that are carried at once, however large a gradient is"""


@dataclass(frozen=True, eq=False)
class Block:
    """Direct effects on some targets of one layer: of the numbers of nodes, both in order."""

    targets: Ints
    columns: Ints
    """the sources"""
    effects: Numbers
    """(target, source)"""

    def restricted(self, stay: NDArray[np.bool_]) -> "Block":
        """The part of it between the nodes that are marked, by their same numbers."""
        targets, columns = stay[self.targets], stay[self.columns]
        return Block(self.targets[targets], self.columns[columns], self.effects[np.ix_(targets, columns)])

    @property
    def shares(self) -> Numbers:
        """Each source's share of all that acts on its target, by size: rows add up to 1, or to 0 without any."""
        size = np.abs(self.effects)
        total = size.sum(-1, keepdims=True)
        return np.divide(size, np.maximum(total, 1e-10), out=size)


def blocks(replacement: Replacement, nodes: Nodes, way: Way) -> tuple[Block, ...]:
    """All edges of a graph, targets from the lowest layer up, logits last."""
    sources = {layer: replacement.sources(nodes, layer) for layer in range(-1, replacement.layers)}
    targets = [*batches(replacement, nodes, nodes.those(FEATURE)), nodes.those(LOGIT)]
    return tuple(block(replacement, nodes, sources, way, each) for each in tracked(targets, "attribution graph"))


def block(replacement: Replacement, nodes: Nodes, sources: dict[int, Sources], way: Way, targets: Ints) -> Block:
    """The edges into targets of one layer. Raises MethodError where a gradient is not finite."""
    asked = targets_of(replacement, nodes, targets)
    reach = int(asked.positions.max()) if replacement.causal else replacement.positions - 1
    columns = np.flatnonzero((nodes.kind != LOGIT) & (nodes.layer < asked.layer) & (nodes.position <= reach))
    effects = direct(sources, way.gradients(asked), columns, reach, len(nodes))
    if not np.isfinite(effects).all():
        raise MethodError("an edge is not finite", hint="does the model's gradient overflow? float32 or wider helps")
    return Block(targets, columns, effects)


def direct(
    sources: dict[int, Sources], gradients: Iterable[Gradient], columns: Ints, reach: int, count: int
) -> Numbers:
    """The direct effects of some nodes, up to position `reach`, on targets with these gradients: (target, column)."""
    place = np.full(count, -1)
    place[columns] = np.arange(len(columns))
    effects: Numbers | None = None
    for layer, gradient in gradients:
        here = sources[layer]
        if effects is None:
            effects = np.zeros((gradient.shape[1], len(columns)), gradient.dtype)
        for position in range(min(reach + 1, len(gradient))):
            first, last = here.starts[position], here.starts[position + 1]
            found = gradient[position] @ here.vectors[first:last].T
            effects[:, _span(place[here.nodes[first:last]])] += found
    assert effects is not None
    return effects


def _span(places: Ints) -> Ints | slice:
    """As a slice where they stand side by side, which is faster: nodes that write into one layer only do."""
    plain = len(places) > 0 and places[-1] - places[0] == len(places) - 1
    return slice(places[0], places[-1] + 1) if plain else places


def targets_of(replacement: Replacement, nodes: Nodes, targets: Ints) -> Targets:
    """Features of one layer, or logits, as what is asked of the model. A logit counts less the mean of all logits."""
    layer, positions, index = int(nodes.layer[targets[0]]), nodes.position[targets], nodes.index[targets]
    if nodes.kind[targets[0]] == FEATURE:
        return Targets(replacement.read(layer), layer, positions, replacement.transcoders[layer].W_enc[index])
    width = replacement.here[replacement.logits].shape[-1]
    vectors = np.full((len(targets), width), -1 / width, replacement.embedding.dtype)
    vectors[np.arange(len(targets)), index] += 1
    return Targets(replacement.logits, layer, positions, vectors)


def batches(replacement: Replacement, nodes: Nodes, features: Ints) -> Iterator[Ints]:
    """Some features by layer, as many at once as fit."""
    size = max(_LEAST, AT_ONCE // replacement.embedding.size)
    for layer in np.unique(nodes.layer[features]):
        own = features[nodes.layer[features] == layer]
        yield from (own[first : first + size] for first in range(0, len(own), size))


def influence(count: int, rows: Sequence[Block], weights: Numbers) -> Numbers:
    """How much of the targets' weight comes from each node, by all paths: weights · ((1 − A)⁻¹ − 1), A the shares.

    No edge goes down, so the power series ends: one sweep from the top solves it.
    """
    total = weights.astype(np.float64)
    for each in reversed(rows):
        total[each.columns] += total[each.targets] @ each.shares
    return total - weights


def error_shares(rows: Sequence[Block], nodes: Nodes) -> Numbers:
    """Of each node, the share of what acts on it directly that is errors."""
    found = np.zeros(len(nodes))
    for each in rows:
        found[each.targets] = each.shares[:, nodes.kind[each.columns] == ERROR].sum(-1)
    return found


def replacement_score(nodes: Nodes, influences: Numbers) -> float:
    """Of what tokens and errors put in, the share of the tokens."""
    tokens, errors = (float(influences[nodes.kind == kind].sum()) for kind in (TOKEN, ERROR))
    return tokens / (tokens + errors) if tokens + errors else float("nan")
