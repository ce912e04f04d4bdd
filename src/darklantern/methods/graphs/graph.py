"""An attribution graph: what acts directly on what in a model on one prompt, and how much comes of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darklantern.counted import counted
from darklantern.errors import MethodError
from darklantern.files import write_whole
from darklantern.methods.graphs import pruning
from darklantern.methods.graphs.nodes import ERROR, FEATURE, LOGIT, TOKEN, Kind, Nodes, Numbers
from darklantern.methods.graphs.rows import Block, error_shares, influence, replacement_score
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.records.findings import Figure

STRONGEST = 10
"""features whose influence is a figure of its own"""


class Edge(NamedTuple):
    """The direct effect of one node on another, both by number: what the first adds to the second."""

    source: int
    target: int
    effect: float


@dataclass(frozen=True, eq=False, repr=False)
class Graph(Result):
    """Nodes in causal order and the edges between them.

    A target is a feature's pre-activation, or a logit less the mean of all logits. With attention patterns, norms'
    denominators and errors as they are, it is the sum of the edges into it, plus its bias.
    """

    nodes: Nodes
    rows: tuple[Block, ...]
    """the edges, for some targets at a time"""
    reached: Numbers
    """(node,): each target's own value on the prompt; 0 of tokens and errors, which are no targets"""
    bias: Numbers
    """(node,): what biases alone make of it"""
    tokens: tuple[str, ...]
    """what stands at each position"""
    answers: dict[int, str]
    """the text of each logit's token"""
    sites: tuple[str, ...]
    how: str
    """in which way the edges were found"""
    gap: float
    """largest difference to backward passes in the rows that were checked, as a share of the largest edge there"""
    left_out: int = 0
    """active features that are no nodes; what they write is in the errors of their layer and position"""

    @cached_property
    def weights(self) -> Numbers:
        """(node,): the probability of each logit's token, 0 of other nodes."""
        return np.where(self.nodes.kind == LOGIT, self.nodes.activation, 0)

    @cached_property
    def influence(self) -> Numbers:
        """(node,): its part, by all paths and by size, in the logits' weights."""
        return influence(len(self.nodes), self.rows, self.weights)

    @cached_property
    def replacement(self) -> float:
        """Replacement score: of the influence that tokens and errors put in, the tokens' share. 1 without errors."""
        return replacement_score(self.nodes, self.influence)

    @cached_property
    def completeness(self) -> float:
        """Completeness score: of what acts on nodes directly, the share that is no error, by their influence."""
        weight = self.influence + self.weights
        return 1 - float(error_shares(self.rows, self.nodes) @ weight / weight.sum())

    @cached_property
    def sums(self) -> Numbers:
        """(node,): the edges into each target, summed."""
        found = np.zeros(len(self.nodes))
        for each in self.rows:
            found[each.targets] = each.effects.sum(-1, dtype=np.float64)
        return found

    @property
    def unexplained(self) -> Numbers:
        """(node,): what of a target is neither edge nor bias: rounding; in a pruned graph, what was cut."""
        return self.reached - self.bias - self.sums

    def node(self, kind: Kind, position: int, layer: int | None = None, index: int | None = None) -> int:
        """The number of a node. Raises MethodError for none, and for several."""
        count = len(self.tokens)
        return self.nodes.find(kind, position + count if position < 0 else position, layer, index)

    def check_known(self, number: int) -> None:
        """Raises MethodError for an error that holds features which were left out: what it writes is not known."""
        if self.left_out and self.nodes.kind[number] == ERROR:
            raise MethodError(
                f"{self.says_of(number)} holds what {counted(self.left_out, 'feature')} left out of the graph write",
                hint="attribution_graph(..., most=None) leaves none out",
            )

    def edge(self, source: int, target: int) -> float:
        """The direct effect of one node on another, by their numbers; 0 where there is none."""
        for each in self.rows:
            if target in each.targets and source in each.columns:
                return float(each.effects[each.targets == target, each.columns == source][0])
        return 0.0

    def edges(self, among: NDArray[np.bool_] | None = None) -> Iterator[Edge]:
        """All by target, or those between the nodes that `among` marks. Millions in a graph of many features."""
        for each in self.rows if among is None else (row.restricted(among) for row in self.rows):
            for row, column in zip(*np.nonzero(each.effects), strict=True):
                yield Edge(int(each.columns[column]), int(each.targets[row]), float(each.effects[row, column]))

    @property
    def array(self) -> Numbers:
        """The edges as one table (target, source). Of many nodes it is large: a number for each pair."""
        found = np.zeros((len(self.nodes), len(self.nodes)), self.rows[0].effects.dtype)
        for each in self.rows:
            found[np.ix_(each.targets, each.columns)] = each.effects
        return found

    def ranked(self) -> list[tuple[int, float]]:
        """The features with their influence, most first."""
        features = self.nodes.those(FEATURE)
        order = features[np.argsort(-self.influence[features], kind="stable")]
        return [(int(number), float(self.influence[number])) for number in order]

    def pruned(self, nodes: float = 0.8, edges: float = 0.98) -> "Graph":
        """The nodes that have this share of all influence, and the edges between them that have this share of it.

        Tokens and logits stay. Its scores are those of what is left. Source: Ameisen et al. 2025, Circuit Tracing.
        """
        stay, rows = pruning.pruned(self.nodes, self.rows, self.weights, nodes, edges)
        return replace(self, nodes=self.nodes.kept(stay), rows=rows, reached=self.reached[stay], bias=self.bias[stay])

    def says_of(self, number: int) -> str:
        """A node in a few words."""
        node = self.nodes[number]
        if node.kind == "logit":
            return f"logit {self.answers[node.index]!r}"
        return f"token {self.tokens[node.position]!r}" if node.kind == "token" else str(node)

    def json(self) -> str:
        """It as JSON, by the schema in `graphs.written`."""
        from darklantern.methods.graphs.written import written

        return written(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes its JSON."""
        write_whole(Path(path), self.json().encode())

    def show(self) -> Picture:
        """Its strongest part as a picture: positions across, layers up. The note says how much of it is shown."""
        from darklantern.methods.graphs.showing import picture

        return picture(self)

    __eq__ = object.__eq__  # arrays have no one answer
    __hash__ = object.__hash__

    @property
    def says(self) -> str:
        features, errors = (len(self.nodes.those(kind)) for kind in (FEATURE, ERROR))
        left = f" (of {features + self.left_out})" * bool(self.left_out)
        return (
            f"{features} features{left} and {errors} errors behind {len(self.answers)} logits, {self.how}: "
            f"replacement {self.replacement:.3f}, completeness {self.completeness:.3f}"
        )

    @property
    def figures(self) -> tuple[Figure, ...]:
        counts = [(name, kind) for name, kind in (("features", FEATURE), ("errors", ERROR), ("tokens", TOKEN))]
        strongest = self.ranked()[:STRONGEST]
        return (
            *(Figure(name=name, value=len(self.nodes.those(kind)), unit="nodes") for name, kind in counts),
            Figure(name="edges", value=sum(int(np.count_nonzero(each.effects)) for each in self.rows)),
            Figure(name="replacement score", value=self.replacement),
            Figure(name="completeness score", value=self.completeness),
            Figure(name="largest part of a target that is neither edge nor bias",
                   value=float(np.abs(self.unexplained).max()), unit="pre-activation"),
            Figure(name="largest difference to backward passes, of edges that were checked",
                   value=self.gap, unit="share of the largest"),
            *(Figure(name=str(self.nodes[number]), value=value, unit="influence") for number, value in strongest),
        )  # fmt: skip

    @property
    def read(self) -> tuple[str, ...]:
        return self.sites
