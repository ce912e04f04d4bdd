"""What an attribution found: a score for each part, in the metric's unit."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing.scales import number
from darklantern.errors import MethodError
from darklantern.methods.attribution.asked import bare
from darklantern.methods.attribution.exact import Exact
from darklantern.methods.attribution.verifying import Verified, verified
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid

STRONGEST = 10
"""scores that are figures of their own"""
_LARGE = 0.01
"""share of the gain from which on a completeness error is said in the first line"""


@dataclass(frozen=True)
class Way:
    """How scores came about."""

    name: str
    clean: float
    """the metric on the clean inputs"""
    corrupt: float | None
    """on the corrupt ones; None where everything was held against 0"""
    steps: int = 1
    along: bool = False
    """one path for all sites"""
    frozen: tuple[str, ...] = ()
    """kinds that were held"""
    missing: Mapping[str, str] = field(default_factory=dict)
    """kinds that the model does not have, or shows nothing of, with why"""
    ends: Mapping[Site, tuple[float, float]] = field(default_factory=dict)
    """of each path, what its scores add up to, and what the metric gains from its beginning to its end"""

    @property
    def completeness_error(self) -> float:
        """The largest share of a path's gain by which scores miss it; 0 without a path."""
        return max((abs(total - gain) / (abs(gain) or 1.0) for total, gain in self.ends.values()), default=0.0)


@dataclass(frozen=True, repr=False, eq=False)
class Attribution(Result):
    """A score for each site, head, neuron or position: how much it adds to what the metric gains."""

    scores: Recording
    """of each site the scores along the axes that were told apart, float64"""
    way: Way
    exact: Exact = field(repr=False)

    def __getitem__(self, site: str | Site) -> Value:
        """The scores of one site."""
        return self.scores[site]

    def stack(self, sites: str | Site) -> Value:
        """Those of several layers, one on the other: `scores.stack("layers.*.attn:z[head=*]")`."""
        return self.scores.stack(sites)

    def ranked(self, by: Callable[[float], float] = abs) -> list[tuple[Site, float]]:
        """Each part with its score, largest first: by size, or, `by=float`, what raises the metric most."""
        parts = [
            (bare(value.site).at(**dict(zip(value.axes, place, strict=True))), float(value.array[place]))
            for value in self.scores.values()
            for place in np.ndindex(value.shape)
        ]
        return sorted(parts, key=lambda part: -by(part[1]))

    def verify(self, count: int = 40, seed: int = 0) -> Verified:
        """Exact patches of the largest `count` / 2 parts and of as many others, drawn by `seed`, beside their scores.

        One run for each, from the part's own block on. Raises MethodError for fewer than two parts.
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 2:
            raise MethodError(f"count is a number of parts, 2 or more, got {count!r}", hint="verify(40)")
        return verified(self.ranked(), self.exact, self.way.name, count, seed)

    def show(self) -> Picture:
        """Heat maps where sites are those of layers, bars of the largest scores otherwise."""
        from darklantern.methods.attribution.showing import picture

        return picture(self)

    @property
    def total(self) -> float:
        """The sum of all scores: near the metric's gain only where everything passes through just these sites."""
        return float(sum(value.array.sum() for value in self.scores.values()))

    @property
    def says(self) -> str:
        site, score = self.ranked()[0]
        held = f", {', '.join(self.way.frozen)} held" if self.way.frozen else ""
        missed = self.way.completeness_error
        large = f"; scores miss what they should add up to by {missed:.1%}" if missed > _LARGE else ""
        return f"Strongest: {number(score)} at {site}, by {self.way.name}{held}{large}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        named = [("clean", self.way.clean), ("total of all scores", self.total)]
        if self.way.corrupt is not None:
            named.insert(1, ("corrupt", self.way.corrupt))
        if self.way.ends:
            named.append(("completeness error", self.way.completeness_error))
        named += [(str(site), score) for site, score in self.ranked()[:STRONGEST]]
        shares = ("completeness error",)
        return tuple(
            Figure(name=name, value=value, unit="share of the gain" if name in shares else "of the metric")
            for name, value in named
            if math.isfinite(value)
        )

    @property
    def grids(self) -> tuple[Grid, ...]:
        """Sites by index, for each axis that sites of one size were told apart along."""
        groups: dict[tuple[str, int], list[Value]] = {}
        for value in self.scores.values():
            if len(value.axes) == 1:
                groups.setdefault((value.axes[0], value.shape[0]), []).append(value)
        return tuple(
            Grid(
                name=f"by {axis}",
                unit="of the metric",
                rows=tuple(str(value.site) for value in held),
                columns=tuple(map(str, range(size))),
                values=tuple(tuple(map(float, value.array)) for value in held),
            )
            for (axis, size), held in groups.items()
        )

    @property
    def read(self) -> tuple[Site, ...]:
        return self.scores.sites

    @property
    def array(self) -> NDArray[np.float64]:
        """The scores as one array, (site, …). Raises MethodError where sites differ in shape."""
        arrays = [value.array for value in self.scores.values()]
        if len({each.shape for each in arrays}) > 1:
            raise MethodError("the sites' scores differ in shape", hint="scores[site] has those of one")
        return np.stack(arrays)
