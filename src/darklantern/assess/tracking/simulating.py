"""How many raters, findings and resolved forecasts it takes to tell anything: simulated, with known truth.

Truths are uniform over all assignments of the table, which no real finding is drawn from; noise is independent between
raters and criteria, which real raters' is not. So these are the least numbers, not the likely ones.
"""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from darklantern.assess.evaluate import evaluate
from darklantern.assess.table import Table
from darklantern.assess.tracking.agreement import agreement
from darklantern.assess.tracking.calibration import Z90
from darklantern.methods.progress import tracked
from darklantern.records.assessments import LEVELS

MISTAKE: Final = 0.3
"""how often a rater is a step off on one criterion"""
MISMEASURED: Final = 0.05
"""how often a measurement is"""
SPREAD: Final = 4.0
"""of a forecaster's probabilities around the base rate b, as Beta(bs, (1 − b)s): sees a third of what can be seen"""


@dataclass(frozen=True)
class Disagreement:
    """How often two raters of the same finding come to different levels."""

    differ: float
    by_two: float
    """by two levels or more, which has to be adjudicated"""
    draws: int

    @property
    def error(self) -> float:
        """The standard error of `differ`."""
        return float(np.sqrt(self.differ * (1 - self.differ) / self.draws))


@dataclass(frozen=True, eq=False)
class Levels:
    """The level of every assignment, as a number."""

    codes: tuple[str, ...]
    array: NDArray[np.int64]
    """an axis for each criterion, from open to closed"""


def disagreement(
    levels: Levels,
    measured: Collection[str] = (),
    mistake: float = MISTAKE,
    mismeasured: float = MISMEASURED,
    draws: int = 100_000,
    seed: int = 0,
) -> Disagreement:
    """Two raters who each err by themselves, a step towards open or closed, and stay on the scale.

    Criteria in `measured` are off more seldom, for both independently.
    """
    rng, sizes = np.random.default_rng(seed), np.array(levels.array.shape)
    chance = np.array([mismeasured if code in measured else mistake for code in levels.codes])
    truth = rng.integers(sizes, size=(draws, len(sizes)))
    said = [_off(truth, chance, sizes, rng) for _ in range(2)]
    one, other = (levels.array[tuple(each.T)] for each in said)
    apart = np.abs(one - other)
    return Disagreement(float((apart > 0).mean()), float((apart > 1).mean()), draws)


def _off(
    truth: NDArray[np.int64], chance: NDArray[np.float64], sizes: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    moved = (rng.random(truth.shape) < chance) * np.where(rng.random(truth.shape) < 0.5, 1, -1)
    made: NDArray[np.int64] = np.clip(truth + moved, 0, sizes - 1)
    return made


def every_level(table: Table) -> Levels:
    """The level of every full assignment. Ten seconds for the shipped table, with a bar."""
    scales = [criterion.values for criterion in table.criteria.values()]
    sizes = [len(scale) for scale in scales]
    every = tracked(product(*scales), "levels", int(np.prod(sizes)))
    found = [evaluate(table, dict(zip(table.criteria, values, strict=True))).level for values in every]
    return Levels(tuple(table.criteria), np.array([LEVELS.index(level) for level in found]).reshape(sizes))


def power(
    resolved: int,
    base_rate: float = 0.15,
    spread: float = SPREAD,
    draws: int = 5000,
    seed: int = 0,
) -> float:
    """How often a well-calibrated forecaster is seen to beat the base rate, one-sided at 5 %, with so many resolved."""
    rng = np.random.default_rng(seed)
    stated = rng.beta(base_rate * spread, (1 - base_rate) * spread, size=(draws, resolved))
    happened = rng.random((draws, resolved)) < stated
    gains = (base_rate - happened) ** 2 - (stated - happened) ** 2
    error = gains.std(1, ddof=1) / np.sqrt(resolved)
    return float((gains.mean(1) > Z90 * error).mean())


@dataclass(frozen=True)
class Width:
    """How wide the interval of an alpha is."""

    alpha: float
    width: float
    error: float
    """of both, as a standard error of the width over the panels simulated"""


def alpha_width(
    raters: int, items: int, mistake: float = 0.45, values: int = 3, panels: int = 60, seed: int = 0
) -> Width:
    """The width of the 95 % interval of alpha for one criterion, over simulated panels; with `mistake`, alpha is near
    .6."""
    rng, found = np.random.default_rng(seed), []
    for number in range(panels):
        truth = rng.integers(values, size=(1, items)).repeat(raters, 0)
        said = _off(truth, np.full(items, mistake), np.full(items, values), rng)
        made = agreement(said, draws=300, seed=number)
        if made.alpha is not None and made.low is not None and made.high is not None:
            found.append((made.alpha, made.high - made.low))
    table = np.array(found)
    return Width(float(table[:, 0].mean()), float(table[:, 1].mean()), float(table[:, 1].std() / np.sqrt(len(table))))


def resolved_for(wanted: float = 0.8, base_rate: float = 0.15, spread: float = SPREAD, seed: int = 0) -> int:
    """The fewest resolved forecasts whose power reaches `wanted`, to about a tenth of them."""
    count = 10
    while power(count, base_rate, spread, seed=seed) < wanted:
        count = max(count + 1, round(count * 1.1))
    return count
