"""What an ablation found: how the metric changes without each part, and without all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing.scales import number
from darklantern.errors import MethodError
from darklantern.methods.patching.cells import flat, grids, ranked
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.recording import Value
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid

STRONGEST = 10
"""changes that are figures of their own"""


@dataclass(frozen=True, repr=False, eq=False)
class Ablated(Result):
    """The metric with a part ablated, less the intact one: in the metric's own unit, below 0 where the part helps."""

    how: str
    """zero, mean or resample"""
    changes: tuple[Value, ...]
    """one for each site, its axes those pinned to `*`, as NumPy; means over draws"""
    spreads: tuple[Value, ...]
    """the standard deviations over draws, alike; empty where nothing is drawn, or once"""
    intact: float
    """the metric with nothing ablated"""
    joint: float
    """what it changes by with all of them ablated together"""
    joint_spread: float | None
    draws: int
    directions: int | None
    """how many dimensions the subspace has that was ablated; None where values were ablated whole"""
    floor: float | None
    """the metric of knowing nothing, as it was said"""

    @property
    def name(self) -> str:
        """Which ablation it was."""
        part = "" if self.directions is None else f" in {self.directions} dimensions"
        return f"{self.how} ablation{part}" + (f", mean of {self.draws} draws" if self.draws > 1 else "")

    @property
    def array(self) -> NDArray[np.float64]:
        """All changes, (site, kept axes). Raises MethodError where sites differ in shape."""
        if len({value.shape for value in self.changes}) > 1:
            raise MethodError("sites differ in the shape of their changes", hint="result.changes has each")
        return np.stack([value.array for value in self.changes])

    @property
    def shares(self) -> NDArray[np.float64]:
        """The changes as shares of the way from intact to the floor, site by site. Raises MethodError without one."""
        if self.floor is None or self.floor == self.intact:
            raise MethodError("no floor is known that changes are shares of", hint="floor= is the metric at chance")
        return flat(self.changes) / (self.floor - self.intact)

    def ranked(self, by: Callable[[float], float] = abs, most: int | None = None) -> list[tuple[Site, float]]:
        """What was ablated, with what the metric changes by: strongest first; `by=float` raises it most first."""
        return ranked(self.changes, by, most)

    def show(self) -> Picture:
        """Bars for a few, with a standard deviation where there are several draws; else a heat map."""
        from darklantern.methods.patching.picturing import Words, drawn

        title = f"{self.name[0].upper()}{self.name[1:]}"
        note = f"Change of the metric from {self.intact:.4g}; all together {number(self.joint)}."
        spreads = flat(self.spreads) if self.spreads else None
        note += " Whiskers: standard deviation over draws." * bool(self.spreads)
        svg = drawn(self.changes, Words(title, self.says, note), spreads)
        return Picture(svg, title, f"{self.says}. {note}")

    @property
    def says(self) -> str:
        (site, change), *_ = self.ranked(most=1)
        return f"{self.name}: strongest {number(change)} without {site}, {number(self.joint)} without all"

    @property
    def figures(self) -> tuple[Figure, ...]:
        found = [Figure(name="intact", value=self.intact), Figure(name="all", value=self.joint, unit=_UNIT)]
        if self.joint_spread is not None:
            found.append(Figure(name="all, standard deviation over draws", value=self.joint_spread, unit=_UNIT))
        if self.floor is not None and self.floor != self.intact:
            share = self.joint / (self.floor - self.intact)
            found.append(Figure(name="all, of the whole", value=share, unit="share of the way to the floor"))
        strongest = self.ranked(most=STRONGEST)
        return *found, *(Figure(name=str(site), value=change, unit=_UNIT) for site, change in strongest)

    @property
    def grids(self) -> tuple[Grid, ...]:
        return grids(self.changes, self.name)

    @property
    def read(self) -> Sequence[Site]:
        return tuple(value.site for value in self.changes)


_UNIT = "of the metric"
