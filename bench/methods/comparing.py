"""What two sides came to, held against each other: files of both → the largest difference."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from methods import subjects

Scores = dict[str, float]
"""of edges, by `sender → receiver`"""
TOKEN, FEATURE, ERROR, LOGIT = range(4)


def graphs(folder: Path, tokens: int) -> tuple[float, float, int]:
    """The largest difference of an edge, the largest edge, and how many edges both have.

    circuit-tracer leaves features and errors of the first position out, so nodes there are not compared.
    """
    with np.load(folder / f"darklantern-graph-{tokens}.npz") as held:
        ours, nodes = held["adjacency"], held["nodes"]
    with np.load(folder / f"circuit-tracer-tuned-{tokens}.npz") as held:
        theirs, features = held["adjacency"], held["features"]
    place = _places(features, tokens, np.load(folder / f"targets-{tokens}.npy"))
    pairs = [(number, place[tuple(node)]) for number, node in enumerate(nodes.tolist()) if tuple(node) in place]
    mine, other = (np.array(each) for each in zip(*pairs, strict=True))
    targets = np.isin(nodes[mine, 0], (FEATURE, LOGIT))
    one, two = ours[np.ix_(mine[targets], mine)], theirs[np.ix_(other[targets], other)]
    return float(np.abs(one - two).max()), float(np.abs(two).max()), int(np.count_nonzero(two))


def _places(features: NDArray[np.int64], tokens: int, targets: NDArray[np.int64]) -> dict[tuple[int, ...], int]:
    """(kind, layer, position, index) as ours are → the row and column of circuit-tracer's table.

    That has features, then errors by layer and position, then tokens, then logits.
    """
    found = {(FEATURE, int(at), int(pos), int(index)): row for row, (at, pos, index) in enumerate(features)}
    start, errors = len(features), subjects.LAYERS * tokens
    for layer in range(subjects.LAYERS):
        found |= {(ERROR, layer, pos, 0): start + layer * tokens + pos for pos in range(1, tokens)}
    found |= {(TOKEN, -1, pos, 0): start + errors + pos for pos in range(tokens)}
    last = start + errors + tokens
    return found | {(LOGIT, subjects.LAYERS, tokens - 1, int(each)): last + n for n, each in enumerate(targets)}


def integrals(folder: Path, steps: int) -> float:
    """The largest difference of an attribution to captum's, as a share of the largest. Ours are of a mean."""
    with np.load(folder / f"darklantern-ig-{steps}.npz") as one, np.load(folder / f"captum-{steps}.npz") as two:
        theirs = two["found"]
        ours = one["found"]
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def pearson(scores: Scores, exact: Scores) -> float:
    """The correlation over the edges of `exact`, which `scores` has all of."""
    return float(np.corrcoef([scores[edge] for edge in exact], list(exact.values()))[0, 1])
