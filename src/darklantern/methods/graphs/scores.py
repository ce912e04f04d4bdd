"""An attention score as a sum over pairs of nodes: what one puts into the query, what another puts into the key."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from darklantern.drawing import Axis, Field, fields
from darklantern.methods.graphs.nodes import Ints, Nodes, Numbers
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.sites import Site
from darklantern.records.findings import Figure

BIAS = -1
"""stands for what biases alone put into a query or a key"""
_TOLD = 10
_SHOWN = 16


@dataclass(frozen=True, eq=False, repr=False)
class ScoreParts(Result):
    """An attention score as a sum over pairs: what one node puts into the query, times what another puts into the key.

    Exact with norms' denominators held. The last of both sides is the biases' own part.
    """

    site: Site
    """one score: `layers.2.attn:scores[head=1,pos=5,key=3]`"""
    nodes: Nodes
    query: Numbers
    """(node, dim): what each node puts into the query; the biases last"""
    key: Numbers
    """(node, dim): the same of the key"""
    scale: float
    """by which the product of query and key is multiplied"""
    score: float
    """as the model has it"""
    rest: float
    """what the model adds to the product, by position as a rule"""
    tokens: tuple[str, ...]

    @cached_property
    def pairs(self) -> Numbers:
        """(query node, key node): their sum plus `rest` is the score."""
        return self.scale * (self.query @ self.key.T)

    @property
    def gap(self) -> float:
        """By how much sum and score differ."""
        return float(abs(self.pairs.sum() + self.rest - self.score))

    @property
    def by_query(self) -> Numbers:
        """(node,): each node's part through the query, whatever the key."""
        return self.pairs.sum(1)

    @property
    def by_key(self) -> Numbers:
        """(node,): each node's part through the key, whatever the query."""
        return self.pairs.sum(0)

    def ranked(self, count: int = _TOLD) -> list[tuple[int, int, float]]:
        """The pairs of most effect: numbers of nodes, -1 for biases, and what they add to the score."""
        order = np.argsort(-np.abs(self.pairs), axis=None, kind="stable")[:count]
        places = zip(*np.unravel_index(order, self.pairs.shape), strict=True)
        return [(self._number(row), self._number(column), float(self.pairs[row, column])) for row, column in places]

    def says_of(self, number: int) -> str:
        """A node in a few words."""
        return "biases" if number == BIAS else str(self.nodes[number])

    __eq__ = object.__eq__  # arrays have no one answer
    __hash__ = object.__hash__

    @property
    def says(self) -> str:
        first = self.ranked(1)[0]
        pair = f"{self.says_of(first[0])} in the query, {self.says_of(first[1])} in the key"
        return f"{self.site} is {self.score:.4g}; most of one pair: {first[2]:.4g}, {pair}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        pairs = [
            Figure(name=f"{self.says_of(query)} × {self.says_of(key)}", value=value, unit="score")
            for query, key, value in self.ranked()
        ]
        named = (("score", self.score), ("no product of query and key", self.rest), ("gap to the sum", self.gap))
        return (*(Figure(name=name, value=value, unit="score") for name, value in named), *pairs)

    @property
    def read(self) -> tuple[Site, ...]:
        return (self.site,)

    def show(self) -> Picture:
        """The strongest nodes of both sides as a heat map: those in the query down, those in the key across."""
        rows, columns = (np.argsort(-np.abs(self.pairs).sum(axis), kind="stable")[:_SHOWN] for axis in (1, 0))
        cells = self.pairs[np.ix_(rows, columns)]
        title = f"What makes {self.site}"
        notes = [
            f"{len(rows)} and {len(columns)} of {len(self.query)} parts, the strongest first; all of them, and "
            f"{self.rest:.3g} that is no product of query and key, add up to the score, {self.score:.4g}.",
        ]
        down, across = self._axis("in the query", rows), self._axis("in the key", columns)
        svg = fields([Field("", cells.tolist())], down, across, title=title, says=self.says, notes=notes)
        return Picture(svg, title, " ".join([f"{self.says}.", *notes]))

    def _axis(self, name: str, chosen: Ints) -> Axis:
        texts = tuple(self._short(self._number(each)) for each in chosen)
        return Axis(name, range(len(chosen)), texts)

    def _short(self, number: int) -> str:
        if number == BIAS:
            return "biases"
        node = self.nodes[number]
        name = {"feature": f"L{node.layer} f{node.index}", "error": f"L{node.layer} error"}.get(node.kind, "token")
        return f"{name} @{node.position}"

    def _number(self, place: int) -> int:
        return int(place) if place < len(self.nodes) else BIAS
