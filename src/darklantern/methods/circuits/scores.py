"""What edges of a model are worth, as numbers, figures and a picture."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing import Axis, Field, fields
from darklantern.drawing.scales import number
from darklantern.errors import MethodError
from darklantern.methods.circuits.ranks import auroc, average_precision
from darklantern.methods.patching.wiring import Wiring, brief
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid

STRONGEST = 20
"""edges that are figures of their own"""
Edge = tuple[str, str]
"""the names of a sender and a receiver"""


@dataclass(frozen=True, repr=False, eq=False)
class EdgeScores(Result):
    """How much each edge adds to the metric, by `how`: positive where it raises it. In the metric's own unit."""

    wiring: Wiring
    how: str
    tables: NDArray[np.float64] = field(repr=False)
    """(contrast, sender, receiver), 0 where there is no edge"""
    clean: float
    """the metric, the mean over the data"""
    corrupt: float

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All there are, by name."""
        senders, receivers = self.wiring.senders, self.wiring.receivers
        return tuple((senders[i].name, receivers[j].name) for i, j in zip(*self.wiring.edges, strict=True))

    @cached_property
    def table(self) -> NDArray[np.float64]:
        """(sender, receiver), the mean over the data; 0 where there is no edge."""
        return frozen(self.tables.mean(axis=0))

    @cached_property
    def array(self) -> NDArray[np.float64]:
        """The scores of all edges, their mean over the data, in the order of `edges`."""
        return frozen(self.table[self.wiring.edges])

    @cached_property
    def nodes(self) -> dict[str, float]:
        """What each sender adds on all its edges: to first order, how much the metric hangs on it."""
        return dict(zip(map(str, self.wiring.senders), self.table.sum(axis=1).tolist(), strict=True))

    def __getitem__(self, edge: Edge) -> float:
        sender, receiver = self.wiring.sender(edge[0]), self.wiring.receiver(edge[1])
        if sender not in self.wiring.upstream(receiver):
            raise MethodError(f"{receiver} does not read {sender}", hint="edges lead from earlier parts to later ones")
        return float(self.array[self.edges.index((sender.name, receiver.name))])

    def ranked(self) -> list[tuple[Edge, float]]:
        """Edges with their scores, the largest first, whatever the sign."""
        order = np.argsort(-np.abs(self.array), kind="stable")
        return [(self.edges[place], float(self.array[place])) for place in order]

    def auroc(self, true: Iterable[Edge]) -> float:
        """How well the scores' sizes tell `true` edges from the rest: 1 for perfectly, .5 for not at all."""
        return auroc(np.abs(self.array), self._among(true))

    def average_precision(self, true: Iterable[Edge]) -> float:
        """The mean precision over the `true` edges, by the scores' sizes."""
        return average_precision(np.abs(self.array), self._among(true))

    def _among(self, true: Iterable[Edge]) -> list[bool]:
        wanted = {(str(sender), str(receiver)) for sender, receiver in true}
        if unknown := wanted - set(self.edges):
            raise MethodError(f"there is no edge {' → '.join(min(unknown))}", hint="scores.edges has all of them")
        return [edge in wanted for edge in self.edges]

    @property
    def says(self) -> str:
        (sender, receiver), score = self.ranked()[0]
        return f"{len(self.edges)} edges by {self.how}; strongest: {number(score)} from {sender} to {receiver}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        strongest = (Figure(name=" → ".join(edge), value=score) for edge, score in self.ranked()[:STRONGEST])
        return Figure(name="clean", value=self.clean), Figure(name="corrupt", value=self.corrupt), *strongest

    @property
    def grids(self) -> tuple[Grid, ...]:
        rows, columns = (tuple(map(str, each)) for each in (self.wiring.senders, self.wiring.receivers))
        values = tuple(map(tuple, self.table.tolist()))
        return (Grid(name=f"edges, by {self.how}", unit="", rows=rows, columns=columns, values=values),)

    @property
    def read(self) -> tuple[Site, ...]:
        parts = [site for part in self.wiring.parts for site in (part.entrance, part.writes)]
        return tuple(dict.fromkeys([*parts, self.wiring.end]))

    def show(self) -> Picture:
        """It as a heat map, senders down and receivers across. Raises RecordError for more than can be told apart."""
        title = f"Edges by {self.how}"
        note = (
            f"What one edge adds to the metric: {self.clean:.4g} on clean inputs, {self.corrupt:.4g} on corrupt ones."
        )
        ends = (("sender", self.wiring.senders), ("receiver", self.wiring.receivers))
        rows, columns = (Axis(name, range(len(each)), tuple(brief(str(end)) for end in each)) for name, each in ends)
        cells = [Field("", self.table.tolist())]
        return Picture(
            fields(cells, rows, columns, title=title, says=self.says, notes=[note]), title, f"{self.says}. {note}"
        )


def frozen(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """It, not to be written to."""
    array.setflags(write=False)
    return array
