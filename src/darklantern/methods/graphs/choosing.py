"""Only the features that matter most, where all of them would be too many edges."""

from collections.abc import Sequence

import numpy as np

from darklantern.methods.graphs.nodes import ERROR, FEATURE, LOGIT, Nodes, Numbers
from darklantern.methods.graphs.pruning import Marks
from darklantern.methods.graphs.replacing import Replacement
from darklantern.methods.graphs.rows import Block, batches, block, influence
from darklantern.methods.graphs.vjps import Way
from darklantern.methods.progress import tracked

_ROUNDS = 8
"""in which features are chosen, each by the influence that those before it have let through"""


def strongest(replacement: Replacement, nodes: Nodes, way: Way, most: int) -> tuple[Nodes, tuple[Block, ...]]:
    """The nodes with the `most` features of most influence, and their edges; what others write counts as error.

    Influence is found from the logits down: edges into a feature are looked for only once it is among the strongest
    by the edges that are known. Takes memory for edges into `most` features from all nodes.
    """
    sources = {layer: replacement.sources(nodes, layer) for layer in range(-1, replacement.layers)}
    weights = np.where(nodes.kind == LOGIT, nodes.activation, 0)
    waiting = nodes.those(FEATURE)
    rows = [block(replacement, nodes, sources, way, nodes.those(LOGIT))]
    shares = np.diff(np.linspace(0, most, min(_ROUNDS, most) + 1).astype(int))
    for share in tracked(shares.tolist(), "attribution graph"):
        known = influence(len(nodes), _from_below(nodes, rows), weights)
        order = np.argsort(-known[waiting], kind="stable")
        chosen, waiting = np.sort(waiting[order[:share]]), np.sort(waiting[order[share:]])
        rows += [block(replacement, nodes, sources, way, each) for each in batches(replacement, nodes, chosen)]
    stay = np.ones(len(nodes), bool)
    stay[waiting] = False
    return nodes.kept(stay), tuple(_with_errors(nodes, each, stay) for each in _from_below(nodes, rows))


def _from_below(nodes: Nodes, rows: Sequence[Block]) -> list[Block]:
    return sorted(rows, key=lambda each: (nodes.layer[each.targets[0]], each.targets[0]))


def _with_errors(nodes: Nodes, row: Block, stay: Marks) -> Block:
    """The block without the features that do not stay: the error of their layer and position has their effects."""
    number = np.cumsum(stay) - 1
    kept = stay[row.columns]
    effects: Numbers = row.effects[:, kept]
    place = np.full(len(nodes), -1)
    place[row.columns[kept]] = np.arange(effects.shape[1])
    errors = nodes.those(ERROR)
    error_of = {(nodes.layer[each], nodes.position[each]): each for each in errors}
    left = row.columns[~kept]
    into = np.array([place[error_of[nodes.layer[each], nodes.position[each]]] for each in left], dtype=int)
    np.add.at(effects.T, into, row.effects[:, ~kept].T)
    return Block(number[row.targets], number[row.columns[kept]], effects)
