"""What a comparison of a circuit's edges found."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darklantern.counted import counted
from darklantern.drawing.scales import number
from darklantern.methods.circuits import EdgeScores
from darklantern.methods.circuits.scores import STRONGEST, Edge
from darklantern.records.findings import Figure, Grid

LEVEL = 0.05
"""chance of any false claim among all edges together"""


class EdgeChange(NamedTuple):
    """One edge that is claimed to have changed."""

    edge: Edge
    before: float
    """its score, in the metric's unit"""
    after: float
    chance: float
    """of such a difference, on any edge, where nothing changed but the data that were drawn"""

    @property
    def step(self) -> float:
        return self.after - self.before


@dataclass(frozen=True, eq=False)
class CircuitDiff:
    """The edges of both checkpoints on the same contrasts, and which of them changed.

    An edge is claimed where its mean score changed by `least` or more, and by more than another draw of contrasts
    would: its adjusted chance is 5 % or less, over all edges together. It is there where its score is `least` or more.
    """

    before: EdgeScores = field(repr=False)
    after: EdgeScores = field(repr=False)
    chances: NDArray[np.float64] = field(repr=False)
    """(edge,) in the order of `before.edges`, adjusted for all of them; 1 for those too weak to be there"""
    least: float
    """in the metric's unit"""

    @cached_property
    def claimed(self) -> tuple[EdgeChange, ...]:
        """All edges that changed, the furthest first."""
        every = zip(self.before.edges, self.before.array, self.after.array, self.chances, strict=True)
        found = [EdgeChange(edge, float(one), float(two), float(chance)) for edge, one, two, chance in every]
        kept = [each for each in found if each.chance <= LEVEL and abs(each.step) >= self.least]
        return tuple(sorted(kept, key=lambda each: -abs(each.step)))

    @property
    def appeared(self) -> tuple[EdgeChange, ...]:
        """Those that were not there, and are."""
        return tuple(each for each in self.claimed if abs(each.before) < self.least <= abs(each.after))

    @property
    def vanished(self) -> tuple[EdgeChange, ...]:
        """Those that were there, and are not."""
        return tuple(each for each in self.claimed if abs(each.after) < self.least <= abs(each.before))

    @property
    def changed(self) -> tuple[EdgeChange, ...]:
        """Those that are there in both."""
        return tuple(each for each in self.claimed if min(abs(each.before), abs(each.after)) >= self.least)

    @property
    def contrasts(self) -> int:
        return len(self.before.tables)

    @property
    def says(self) -> str:
        told = f"{counted(len(self.appeared), 'edge')} appeared, {len(self.vanished)} vanished, "
        told += f"{len(self.changed)} changed of {len(self.chances)} by {self.before.how}"
        if not self.claimed:
            return told
        most = self.claimed[0]
        return f"{told}, most {' → '.join(most.edge)} from {number(most.before)} to {number(most.after)}"

    @property
    def figures(self) -> Iterator[Figure]:
        kinds = (("appeared", self.appeared), ("vanished", self.vanished), ("changed", self.changed))
        for name, found in kinds:
            yield Figure(name=f"edges that {name}", value=len(found), unit=f"of {len(self.chances)}")
        yield Figure(name="contrasts", value=self.contrasts)
        yield Figure(name="least score of an edge that is there", value=self.least, unit="of the metric")
        for name, scores in (("before", self.before), ("after", self.after)):
            yield Figure(name=f"behaviour {name}", value=scores.clean - scores.corrupt, unit="of the metric")
        for name, found in kinds:
            for each in found[:STRONGEST]:
                yield Figure(name=f"{name}: {' → '.join(each.edge)}", value=each.step, unit="of the metric")

    @property
    def grid(self) -> Grid:
        """The edges that changed."""
        columns = ("before", "after", "change", "adjusted chance")
        values = tuple((each.before, each.after, each.step, each.chance) for each in self.claimed)
        names = tuple(" → ".join(each.edge) for each in self.claimed)
        return Grid(name="edges that changed", unit="of the metric", rows=names, columns=columns, values=values)
