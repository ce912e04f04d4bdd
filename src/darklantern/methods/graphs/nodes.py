"""The nodes of an attribution graph, in causal order: no edge runs from a later one to an earlier one."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError

Numbers = NDArray[Any]
Ints = NDArray[np.intp]
Kind = Literal["token", "feature", "error", "logit"]
KINDS: tuple[Kind, ...] = ("token", "feature", "error", "logit")
TOKEN, FEATURE, ERROR, LOGIT = range(4)


@dataclass(frozen=True)
class Node:
    """One node. A token's layer is -1, a logit's the number of layers."""

    kind: Kind
    layer: int
    position: int
    index: int
    """of a feature in its transcoder, of a logit in the vocabulary; 0 of others"""
    activation: float
    """of a feature; of a logit its probability, of others 1"""

    def __str__(self) -> str:
        if self.kind == "feature":
            return f"feature {self.index} of layer {self.layer} at {self.position}"
        if self.kind == "error":
            return f"error of layer {self.layer} at {self.position}"
        return f"token at {self.position}" if self.kind == "token" else f"logit {self.index} at {self.position}"


@dataclass(frozen=True, eq=False)
class Nodes:
    """All of them, as columns: sorted by layer, position, kind and index."""

    kind: Ints
    layer: Ints
    position: Ints
    index: Ints
    activation: Numbers

    def __len__(self) -> int:
        return len(self.kind)

    def __getitem__(self, number: int) -> Node:
        kind = KINDS[int(self.kind[number])]
        layer, position, index = (int(column[number]) for column in (self.layer, self.position, self.index))
        return Node(kind, layer, position, index, float(self.activation[number]))

    def those(self, kind: int) -> Ints:
        """The numbers of all of one kind."""
        return np.flatnonzero(self.kind == kind)

    def find(self, kind: Kind, position: int, layer: int | None = None, index: int | None = None) -> int:
        """The number of one node. Raises MethodError for none, and for several."""
        asked = (self.kind == KINDS.index(kind)) & (self.position == position)
        for column, value in ((self.layer, layer), (self.index, index)):
            if value is not None:
                asked &= column == value
        found = np.flatnonzero(asked)
        if len(found) != 1:
            raise MethodError(
                f"{len(found)} nodes are a {kind} at position {position}, layer {layer}, index {index}",
                hint="only active features are nodes; layer and index tell several apart",
            )
        return int(found[0])

    def followed_by(self, others: "Nodes") -> "Nodes":
        """These, and behind them others of higher layers."""
        return Nodes(*(np.concatenate(pair) for pair in zip(self._columns, others._columns, strict=True)))

    @property
    def _columns(self) -> tuple[Any, ...]:
        return self.kind, self.layer, self.position, self.index, self.activation

    def kept(self, which: NDArray[np.bool_]) -> "Nodes":
        """Those that are marked, in the same order."""
        return Nodes(*(column[which] for column in self._columns))


def sorted_nodes(rows: list[tuple[int, int, Ints, Ints, Numbers]]) -> Nodes:
    """Nodes of several layers, each given as kind, layer, positions, indices and activations."""
    kind = np.concatenate([np.full(len(each[2]), each[0]) for each in rows])
    layer = np.concatenate([np.full(len(each[2]), each[1]) for each in rows])
    position, index, activation = (np.concatenate([each[column] for each in rows]) for column in (2, 3, 4))
    order = np.lexsort((index, kind, position, layer))
    return Nodes(*(column[order] for column in (kind, layer, position, index, activation)))
