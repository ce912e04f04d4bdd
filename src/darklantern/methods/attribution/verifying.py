"""Scores beside exact patches of the same parts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.attribution.exact import Exact
from darklantern.methods.making import making
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False, eq=False)
class Verified(Result):
    """The largest scores and as many others, each beside what an exact patch of the part does."""

    parts: tuple[Site, ...]
    """the largest first, then those drawn at random"""
    largest: int
    """how many of them are the largest"""
    attributed: Floats
    exact: Floats
    way: str

    @property
    def pearson(self) -> float:
        """Correlation of scores with exact effects; NaN where one side does not vary."""
        return _correlation(self.attributed, self.exact)

    @property
    def spearman(self) -> float:
        """Correlation of their ranks."""
        return _correlation(_ranks(self.attributed), _ranks(self.exact))

    @property
    def same_sign(self) -> float:
        """Share of the largest parts whose exact effect has the score's sign."""
        top = slice(0, self.largest)
        return float(np.mean(np.sign(self.attributed[top]) == np.sign(self.exact[top])))

    def show(self) -> Picture:
        """Scores and exact effects side by side, a row for each part."""
        from darklantern.methods.attribution.showing import beside

        return beside(self)

    @property
    def says(self) -> str:
        figures = f"Pearson {self.pearson:.3f}, Spearman {self.spearman:.3f}"
        return f"{self.way} beside {len(self.parts)} exact patches: {figures}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        off = float(np.abs(self.attributed - self.exact).max())
        named = (
            ("Pearson", self.pearson, ""),
            ("Spearman", self.spearman, ""),
            ("same sign, of the largest", self.same_sign, "share"),
            ("largest difference", off, "of the metric"),
        )
        return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in named if np.isfinite(value))

    @property
    def grids(self) -> tuple[Grid, ...]:
        values = tuple((float(one), float(two)) for one, two in zip(self.attributed, self.exact, strict=True))
        rows = tuple(map(str, self.parts))
        return (
            Grid(name="verified", unit="of the metric", rows=rows, columns=(self.way, "exact patch"), values=values),
        )

    @property
    def read(self) -> tuple[Site, ...]:
        return self.parts


def verified(ranked: Sequence[tuple[Site, float]], exact: Exact, way: str, count: int, seed: int) -> Verified:
    """`count` of the ranked parts, half of them the first, half drawn from the rest."""
    if len(ranked) < 2:
        raise MethodError("there is one part, which correlates with nothing", hint="tell parts apart: [head=*]")
    largest = min(-(-count // 2), len(ranked))
    rest = np.random.default_rng(seed).permutation(np.arange(largest, len(ranked)))[: count - largest]
    chosen = [*ranked[:largest], *(ranked[i] for i in np.sort(rest))]
    with making("verify", exact.model, seed) as under_way:
        under_way.saw(exact.clean, exact.corrupt)
        found = exact.effects([site for site, _ in chosen])
    scores = np.array([score for _, score in chosen])
    return Verified(tuple(s for s, _ in chosen), largest, scores, found, way, made=under_way.made())


def _correlation(one: Floats, two: Floats) -> float:
    spread = float(one.std() * two.std())
    return float(((one - one.mean()) * (two - two.mean())).mean()) / spread if spread else float("nan")


def _ranks(values: Floats) -> Floats:
    """Ranks from 0; equals share the mean of theirs."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2)[group]
