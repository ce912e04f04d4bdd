"""Scores beside what exact patches of the same cells do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing import Bar, bars
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid

_SHOWN = 15
"""cells in a picture: two bars each"""


@dataclass(frozen=True, repr=False)
class Verified(Result):
    """For some cells the score, and what the metric really changes by when that cell alone is changed."""

    name: str
    """of the attribution"""
    sites: tuple[Site, ...]
    """the strongest first, then those drawn at random"""
    attributed: tuple[float, ...]
    exact: tuple[float, ...]
    strongest: int
    """how many of `sites` were chosen for their score"""
    others: int
    """cells from which the rest of `sites` were drawn, and for which they stand in the figures"""

    @property
    def stands_for(self) -> NDArray[np.float64]:
        """How many cells each counts for, (cell,): a strong one for itself, a drawn one for its part of the others.

        Were all to count alike, the strongest would stand for half of the model, which flatters any score.
        """
        drawn = len(self.sites) - self.strongest
        made: NDArray[np.float64] = np.repeat([1.0, self.others / max(drawn, 1)], [self.strongest, drawn])
        return made

    @property
    def pearson(self) -> float:
        """The correlation of scores and exact effects over all cells; NaN where either is constant."""
        return correlation(np.array(self.attributed), np.array(self.exact), self.stands_for)

    @property
    def spearman(self) -> float:
        """The correlation of their ranks among all cells; of equals each has the mean rank."""
        weights = self.stands_for
        one, other = (_ranks(np.array(each), weights) for each in (self.attributed, self.exact))
        return correlation(one, other, weights)

    @property
    def agreement(self) -> float:
        """The share of all cells in which both have the same sign."""
        same = np.sign(self.attributed) == np.sign(self.exact)
        return float(np.average(same, weights=self.stands_for))

    @property
    def says(self) -> str:
        if np.isnan(self.pearson):
            return f"{self.name}: scores or exact effects of {len(self.sites)} cells are all alike"
        return (
            f"{self.name}: correlation with exact patches {self.pearson:.3f}, of ranks {self.spearman:.3f}, the same "
            f"sign in {self.agreement:.0%} of {self.strongest + self.others} cells, by {len(self.sites)} of them"
        )

    @property
    def figures(self) -> tuple[Figure, ...]:
        found = {"Pearson": self.pearson, "Spearman": self.spearman, "same sign": self.agreement}
        shares = [Figure(name=name, value=value) for name, value in found.items() if np.isfinite(value)]
        apart = float(np.abs(np.subtract(self.attributed, self.exact)).max())
        return *shares, Figure(name="largest difference", value=apart, unit="of the metric")

    @property
    def grids(self) -> tuple[Grid, ...]:
        rows = tuple(zip(self.attributed, self.exact, strict=True))
        names = tuple(map(str, self.sites))
        return (Grid(name="verified", unit="of the metric", rows=names, columns=("score", "exact"), values=rows),)

    @property
    def read(self) -> tuple[Site, ...]:
        return self.sites

    def show(self) -> Picture:
        """Pairs of bars: the exact effect, and in grey the score, of the strongest and some of the random cells."""
        drawn = min(len(self.sites) - self.strongest, _SHOWN // 3)
        chosen = [*range(min(self.strongest, _SHOWN - drawn)), *range(self.strongest, self.strongest + drawn)]
        items = [
            each
            for place in chosen
            for each in (
                Bar(label=f"{self.sites[place]}", value=self.exact[place]),
                Bar(label="score", value=self.attributed[place], control=True),
            )
        ]
        note = f"Exact effect of each cell alone; grey, its score. The last {drawn} were drawn at random."
        return Picture(bars(items, title="Scores and exact patches", note=note), "Scores and exact patches", self.says)


def correlation(
    one: NDArray[np.float64], other: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> float:
    """Pearson's; NaN where either is constant."""
    weights = np.ones(len(one)) if weights is None else weights
    one, other = ((each - np.average(each, weights=weights)) * np.sqrt(weights) for each in (one, other))
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size else float("nan")


def _ranks(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The middle of the ranks that each and its equals take up."""
    _, inverse = np.unique(values, return_inverse=True)
    wide = np.bincount(inverse, weights=weights)
    ranks: NDArray[np.float64] = (np.cumsum(wide) - wide / 2)[inverse]
    return ranks
