"""Which nodes and edges carry most of a graph's influence."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.graphs.nodes import FEATURE, LOGIT, TOKEN, Nodes, Numbers
from darklantern.methods.graphs.rows import Block, influence

Marks = NDArray[np.bool_]


def pruned(
    nodes: Nodes, rows: Sequence[Block], weights: Numbers, node_share: float, edge_share: float
) -> tuple[Marks, tuple[Block, ...]]:
    """Which nodes stay, and the edges between them, numbered as they then are; tokens and logits all stay.

    First the nodes that together have `node_share` of all influence; between them, the edges that have `edge_share`
    of what influence then passes; then no feature or error without an edge out, and no feature without one in.
    Raises MethodError for shares outside of 0 to 1.
    """
    for share in (node_share, edge_share):
        if not 0 < share <= 1:
            raise MethodError(f"expected a share of influence above 0 and up to 1, got {share}", hint="nodes=0.8")
    influences = influence(len(nodes), rows, weights)
    always = (nodes.kind == TOKEN) | (nodes.kind == LOGIT)
    stay = always | (influences >= _least(influences, node_share))
    between = [each.restricted(stay) for each in rows]
    passed = influence(len(nodes), between, weights) + weights
    sizes = [each.shares * passed[each.targets, None] for each in between]
    least = _least(np.concatenate([np.ravel(each) for each in sizes]), edge_share)
    cut = [
        Block(each.targets, each.columns, np.where(size >= least, each.effects, 0))
        for each, size in zip(between, sizes, strict=True)
    ]
    while True:
        out, into = _tied(len(nodes), cut)
        left = stay & (always | out) & ((nodes.kind != FEATURE) | into)
        if (left == stay).all():
            break
        stay, cut = left, [each.restricted(left) for each in cut]
    number = np.cumsum(stay) - 1
    kept = (each for each in cut if len(each.targets))
    return stay, tuple(Block(number[each.targets], number[each.columns], each.effects) for each in kept)


def _least(sizes: Numbers, share: float) -> float:
    """The size down to which the largest have this share of the sum."""
    ranked = np.sort(sizes)[::-1]
    sums = np.cumsum(ranked, dtype=np.float64)
    if not len(ranked) or not sums[-1]:
        return 0.0
    return float(ranked[min(int(np.searchsorted(sums / sums[-1], share)), len(ranked) - 1)])


def _tied(count: int, rows: Sequence[Block]) -> tuple[Marks, Marks]:
    """Which nodes have an edge out, and which have one in."""
    out, into = np.zeros(count, bool), np.zeros(count, bool)
    for each in rows:
        there = each.effects != 0
        out[each.columns] |= there.any(0)
        into[each.targets] |= there.any(1)
    return out, into
