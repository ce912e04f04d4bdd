"""A circuit: some of a model's edges, such that what they carry makes a behaviour."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.circuits.scores import STRONGEST, Edge, EdgeScores
from darklantern.methods.patching.wiring import Wiring
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.sites import Site, parse
from darklantern.records.findings import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Circuit(Result):
    """The edges that are kept of a model, of all that there are."""

    wiring: Wiring
    kept: NDArray[np.bool_] = field(repr=False)
    """(sender, receiver)"""
    scores: NDArray[np.float64] = field(repr=False)
    """(sender, receiver), what they were chosen by"""
    how: str
    """by what they were scored"""
    faithfulness: float | None = None
    """share of the behaviour that they make by themselves, where that was measured"""

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """By name, in the order of their senders."""
        senders, receivers = self.wiring.senders, self.wiring.receivers
        return tuple((senders[i].name, receivers[j].name) for i, j in np.argwhere(self.kept))

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The senders that have an edge."""
        return tuple(self.wiring.senders[place].name for place in np.flatnonzero(self.kept.any(axis=1)))

    @property
    def share(self) -> float:
        """How many of all edges are kept."""
        return len(self) / len(self.wiring.edges[0])

    def __len__(self) -> int:
        return int(self.kept.sum())

    def __contains__(self, edge: object) -> bool:
        return edge in self.edges

    @property
    def says(self) -> str:
        told = "" if self.faithfulness is None else f", which make {self.faithfulness:.1%} of the behaviour"
        return f"{len(self)} of {len(self.wiring.edges[0])} edges by {self.how}{told}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        measured = () if self.faithfulness is None else (Figure(name="faithfulness", value=self.faithfulness),)
        order = np.argsort(-np.abs(self.scores[self.kept]), kind="stable")[:STRONGEST]
        scored = self.scores[self.kept]
        edges = (Figure(name=" → ".join(self.edges[place]), value=float(scored[place])) for place in order)
        count = Figure(name="edges", value=len(self)), Figure(name="share of all edges", value=self.share)
        return *count, *measured, *edges

    @property
    def read(self) -> tuple[Site, ...]:
        return tuple(parse(name) for name in dict.fromkeys(sum(self.edges, ())) if ":" in name)

    def show(self) -> Picture:
        """It as a graph, layers from the bottom to the top, heads of a layer beside each other."""
        from darklantern.methods.circuits.showing import picture

        return picture(self)

    def json(self) -> str:
        """It as JSON, for `load_circuit`; docs of the format stand there."""
        from darklantern.methods.circuits.files import written

        return written(self)


def of_edges(scores: EdgeScores, edges: Iterable[Edge]) -> Circuit:
    """The circuit of these edges, among those that were scored. Raises MethodError for one that is not there."""
    kept = mask(scores.wiring, edges)
    return Circuit(scores.wiring, kept, scores.table, scores.how, made=scores.made)


def mask(wiring: Wiring, edges: Iterable[Edge]) -> NDArray[np.bool_]:
    """True at each of `edges`. Raises MethodError for one that is not there."""
    kept = np.zeros((len(wiring.senders), len(wiring.receivers)), dtype=bool)
    for from_, to in edges:
        sender, receiver = wiring.sender(from_), wiring.receiver(to)
        if sender not in wiring.upstream(receiver):
            raise MethodError(f"{to} does not read {from_}", hint="edges lead from earlier parts to later ones")
        kept[wiring.senders.index(sender), wiring.receivers.index(receiver)] = True
    return kept
