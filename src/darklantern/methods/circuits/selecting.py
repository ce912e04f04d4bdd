"""Which edges make a circuit: the strongest, grown backwards from the logits."""

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.circuits.circuit import Circuit
from darklantern.methods.circuits.scores import EdgeScores
from darklantern.methods.patching.wiring import Wiring


def select(scores: EdgeScores, edges: int, connected: bool = True) -> Circuit:
    """The circuit of about so many `edges`, those of the largest scores by size.

    `connected`: grown from the logits backwards, each time by the strongest edge into something that is in it already,
    and then without what no path from the embedding reaches: every edge lies on a path from the embedding to the
    logits, so there may be fewer than asked for. Otherwise just the strongest. Source: Hanna et al. 2024.

    Raises MethodError for no edges, or more than there are, and for scores that are not finite.
    """
    there = len(scores.edges)
    if not 1 <= edges <= there:
        raise MethodError(f"{edges} of {there} edges", hint=f"from 1 to {there}")
    size = np.abs(scores.table)
    if not np.isfinite(size).all():
        raise MethodError("some scores are no finite numbers", hint="was the metric finite on all data?")
    kept = _grown(scores.wiring, size, edges) if connected else _strongest(scores.wiring, size, edges)
    return Circuit(scores.wiring, kept, scores.table, scores.how, made=scores.made)


def connected(wiring: Wiring, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of some edges, those that lie on a path from the embedding to the logits."""
    feeding = _feeding(wiring)
    kept = kept.copy()
    while True:
        reached = kept.any(axis=0) @ feeding  # senders with an input
        reached[0] = True
        heard = feeding @ kept.any(axis=1)  # receivers of which something goes on
        heard[-1] = True
        left = kept & reached[:, None] & heard[None, :]
        if (left == kept).all():
            return left
        kept = left


def _feeding(wiring: Wiring) -> NDArray[np.bool_]:
    """(receiver, sender): which is computed from which."""
    places = {sender: place for place, sender in enumerate(wiring.senders)}
    made = np.zeros((len(wiring.receivers), len(wiring.senders)), dtype=bool)
    for row, receiver in enumerate(wiring.receivers):
        for sender in wiring.feeds(receiver):
            made[row, places[sender]] = True
    return made


def _strongest(wiring: Wiring, size: NDArray[np.float64], edges: int) -> NDArray[np.bool_]:
    rows, columns = wiring.edges
    best = np.argsort(-size[rows, columns], kind="stable")[:edges]
    kept = np.zeros(size.shape, dtype=bool)
    kept[rows[best], columns[best]] = True
    return kept


def _grown(wiring: Wiring, size: NDArray[np.float64], edges: int) -> NDArray[np.bool_]:
    feeding = _feeding(wiring)
    kept, there = np.zeros(size.shape, dtype=bool), np.zeros(size.shape, dtype=bool)
    there[wiring.edges] = True
    open_ = np.zeros(size.shape[1], dtype=bool)
    open_[-1] = True  # the logits
    for _ in range(edges):
        candidates = np.where(there & ~kept & open_[None, :], size, -1.0)
        sender, receiver = np.unravel_index(candidates.argmax(), size.shape)
        if candidates[sender, receiver] < 0:
            break
        kept[sender, receiver] = True
        open_ |= feeding[:, sender]
    return connected(wiring, kept)
