"""What a comparison of two checkpoints found."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from darklantern.counted import counted
from darklantern.errors import MethodError
from darklantern.methods.diffs.followed import DirectionDiff, table
from darklantern.methods.diffs.rewired import CircuitDiff
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.sites import Site
from darklantern.records.findings import Evidence, Figure, Grid

Floats = NDArray[np.float64]
MOST = 5
"""units that are figures of their own"""


@dataclass(frozen=True)
class SiteDiff:
    """One site, before and after."""

    site: Site
    drift: float
    """√(Σ|after − before|² / Σ|before|²) over all data; of attention patterns the mean total variation, 0 to 1"""
    cka: float
    """linear CKA without bias: 1 where only turned and scaled; NaN for attention patterns, which are no vectors"""
    axis: str
    """what its units are: head, neuron, channel or dim"""
    units: Floats
    """(unit,), the drift of each"""
    directions: Floats
    """(direction, feature): along which sampled rows moved, most first"""
    shares: Floats
    """(direction,), of all squared movement"""

    @property
    def is_pattern(self) -> bool:
        return self.site.port == "pattern"


@dataclass(frozen=True, kw_only=True, repr=False)
class Diff(Result):
    """What changed from one checkpoint to another, on some data."""

    changes: tuple[SiteDiff, ...]
    directions: tuple[DirectionDiff, ...] = ()
    """those that were followed"""
    edges: CircuitDiff | None = None
    """where contrasts were given"""
    rows: int
    """sampled at each site, behind CKA and directions"""
    kl: float
    """mean KL from the output before to the one after, nats a token; NaN where outputs are no logits"""
    agreement: float
    """share of tokens at which both name the same first; NaN likewise"""
    later: Callable[[], str] = field(compare=False)
    """gives the SHA-256 of the later weights"""

    def __getitem__(self, site: str | Site) -> SiteDiff:
        """The change at one site."""
        found = next((each for each in self.changes if str(each.site) == str(site)), None)
        if found is None:
            names = ", ".join(str(each.site) for each in islice(self.changes, 5))
            raise MethodError(f"{site} was not compared", hint=f"sites that were: {names} …")
        return found

    def ranked(self, port: str = "") -> list[tuple[Site, float]]:
        """Units by how far they moved, of sites with `port` or of all but patterns; what moved most first."""
        found = [
            (each.site.at(**{each.axis: number}), float(drift))
            for each in self.changes
            if (each.site.port == port if port else not each.is_pattern and each.axis != "dim")
            for number, drift in enumerate(each.units)
        ]
        return sorted(found, key=lambda pair: -pair[1])

    @property
    def read(self) -> tuple[Site, ...]:
        parts = [] if self.edges is None else self.edges.before.read
        sites = [each.site for each in self.changes] + [each.site for each in self.directions]
        return tuple(dict.fromkeys([*sites, *parts]))

    @property
    def says_of_sites(self) -> str:
        """What moved most, in a line."""
        most = max((each for each in self.changes if not each.is_pattern), key=lambda each: each.drift)
        behaviour = "" if math.isnan(self.kl) else f"; outputs {self.kl:.3g} nats apart"
        return f"Moved most: {most.site}, by {most.drift:.1%} of its size, CKA {most.cka:.3f}{behaviour}"

    @property
    def says(self) -> str:
        told = self.says_of_sites
        if self.directions:
            moved = [each.name for each in self.directions if each.moved]
            told += f"; of {counted(len(self.directions), 'direction')} moved: {', '.join(moved) or 'none'}"
        return told if self.edges is None else f"{told}; {self.edges.says}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        named = [("KL of outputs", self.kl, "nats a token"), ("same first token", self.agreement, "share of tokens")]
        named += [(f"drift {site}", drift, "of its size before") for site, drift in self.ranked()[:MOST]]
        for each in self.changes:
            if each.is_pattern:
                named.append((f"drift {each.site}", each.drift, "total variation"))
            else:
                named += [(f"drift {each.site}", each.drift, "of its size before"), (f"CKA {each.site}", each.cka, "")]
        sites = [Figure(name=n, value=value, unit=unit) for n, value, unit in named if math.isfinite(value)]
        directions = [figure for each in self.directions for figure in each.figures]
        return (*directions, *(self.edges.figures if self.edges else ()), *sites)

    @property
    def grids(self) -> tuple[Grid, ...]:
        """Heads by layer: how far what they write moved, and where they look; directions; edges that changed."""
        heads = [
            Grid(
                name=f"drift of {port}",
                unit="total variation" if port == "pattern" else "of its size before",
                rows=tuple(str(each.site) for each in held),
                columns=tuple(map(str, range(len(held[0].units)))),
                values=tuple(tuple(map(float, each.units)) for each in held),
            )
            for port, held in self.heads().items()
        ]
        followed = [table(self.directions)] if self.directions else []
        edges = [self.edges.grid] if self.edges and self.edges.claimed else []
        return (*heads, *followed, *edges)

    def heads(self) -> dict[str, list[SiteDiff]]:
        """Port → its sites, of those whose units are heads and equally many in all layers."""
        found: dict[str, list[SiteDiff]] = {}
        for each in self.changes:
            if each.axis == "head":
                found.setdefault(each.site.port, []).append(each)
        return {port: held for port, held in found.items() if len({len(each.units) for each in held}) == 1}

    def evidence(self) -> Evidence:
        """As every result's; its summary names the later weights by their hash."""
        found = super().evidence()
        return replace(found, summary=f"{found.summary}; later weights {self.later()}")

    def show(self) -> Picture:
        """Heads by layer as heat maps where there are heads, else how far each site moved, as bars.

        Below, directions as bars, and the edges that changed as a graph, signed by whether their score rose.
        """
        from darklantern.methods.diffs.showing import picture

        return picture(self)
