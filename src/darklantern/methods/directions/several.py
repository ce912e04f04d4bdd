"""Directions at several sites, side by side."""

from dataclasses import dataclass

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.directions.one import Direction
from darklantern.methods.results import Result
from darklantern.models.paths import nearest
from darklantern.models.picture import Picture
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid


@dataclass(frozen=True, repr=False, eq=False)
class Directions(Result):
    """One direction for each site, of the same examples."""

    each: tuple[Direction, ...]

    @property
    def best(self) -> Direction:
        """The one of the highest held-out AUROC; of equals, the first."""
        return max(self.each, key=lambda one: one.auroc.value)

    def __getitem__(self, site: str | Site) -> Direction:
        """The one at a site, by its name. Raises MethodError for another."""
        named = {str(one.site): one for one in self.each}
        if str(site) not in named:
            close = nearest(str(site), named) or list(named)[:3]
            raise MethodError(f"no direction was found at {site}", hint=f"there are {', '.join(close)}")
        return named[str(site)]

    def show(self) -> Picture:
        """The held-out AUROC of each site with its interval, as bars; the best controls of all are grey."""
        from darklantern.methods.directions.showing import of_several

        return of_several(self)

    @property
    def says(self) -> str:
        return f"The best of {len(self.each)} sites: {self.best.says}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        return tuple(Figure(name=f"AUROC at {one.site}", value=one.auroc.value) for one in self.each)

    @property
    def grids(self) -> tuple[Grid, ...]:
        names = [name for name, _ in self.each[0].controls.pairs]
        columns = ("AUROC", "95 % from", "95 % to", "accuracy", *names)
        rows = tuple(
            (*one.auroc, one.accuracy, *(float(np.mean(found)) for _, found in one.controls.pairs)) for one in self.each
        )
        return (
            Grid(
                name="held out", unit="", rows=tuple(str(one.site) for one in self.each), columns=columns, values=rows
            ),
        )

    @property
    def read(self) -> tuple[Site, ...]:
        return tuple(one.site for one in self.each)
