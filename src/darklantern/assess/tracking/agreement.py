"""How far raters agree: Krippendorff's alpha, with an interval over items.

For each criterion and version of the rubric, over many findings: of one finding an alpha says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darklantern.errors import AssessmentError

Scale = Literal["nominal", "ordinal"]
Numbers = NDArray[np.float64]

POOR, SUBSTANTIAL = 0.45, 0.62
"""cut-lines of the benchmark of software process assessments (SPICE)"""
DRAWS: Final = 1000
LEAST: Final = 10
"""items, below which a bootstrap over them says nothing"""
MOST_LOST: Final = 0.05
"""of its draws, in which alpha does not exist: the others would leave out just those in which all agree"""


@dataclass(frozen=True)
class Agreement:
    """An alpha and how sure it is."""

    alpha: float | None
    """1: always agreed; 0: as by chance; below 0: worse. None where raters never differed in what they used, for then
    chance cannot be told from agreement"""
    low: float | None
    """95 %, by a bootstrap over items: it covered .83 to .98 in simulations, the less the fewer items"""
    high: float | None
    items: int
    """that two raters or more answered"""
    raters: int
    lost: int
    """draws in which alpha does not exist"""
    draws: int

    @property
    def says(self) -> str:
        """In words, and whether there is enough to tell."""
        of = f"{self.items} items by {self.raters} raters"
        if self.alpha is None or self.low is None or self.high is None:
            return f"no alpha: all answers to {of} are the same, or no item has two"
        told = f"alpha {self.alpha:.2f} ({self.low:.2f} to {self.high:.2f}), {of}"
        if self.items < LEAST or self.lost > MOST_LOST * self.draws:
            return f"{told}: too few items to tell, it takes {LEAST}"
        if self.low < POOR and self.high > SUBSTANTIAL:
            return f"{told}: too little to tell poor from substantial"
        word = "poor" if self.alpha < POOR else "substantial" if self.alpha > SUBSTANTIAL else "moderate"
        return f"{told}: {word}"


def alpha(answers: ArrayLike, scale: Scale = "ordinal") -> float | None:
    """Krippendorff's alpha of answers (rater, item), whole numbers of ranks, NaN where there is none.

    Krippendorff 2011, Computing Krippendorff's Alpha-Reliability. None where it does not exist.
    """
    values = _checked(answers)
    counts = _counts(values)
    return _alpha(counts[counts.sum(1) >= 2], scale)


def agreement(answers: ArrayLike, scale: Scale = "ordinal", draws: int = DRAWS, seed: int = 0) -> Agreement:
    """Alpha of answers (rater, item) with a bootstrap over items, drawn with `seed`.

    An answer of several values counts as the most closed of them, as everywhere else; an unknown one is missing.
    Raises AssessmentError for what is no matrix of ranks.
    """
    values = _checked(answers)
    counts = _counts(values)
    counts = counts[counts.sum(1) >= 2]
    whole = _alpha(counts, scale)
    raters = int((~np.isnan(values)).any(1).sum())
    if whole is None:
        return Agreement(None, None, None, len(counts), raters, 0, draws)
    rows = np.random.default_rng(seed).integers(len(counts), size=(draws, len(counts)))
    drawn = [_alpha(counts[row], scale) for row in rows]
    there = [each for each in drawn if each is not None]
    low, high = np.quantile(there, (0.025, 0.975)) if there else (whole, whole)
    return Agreement(
        whole, min(float(low), whole), max(float(high), whole), len(counts), raters, draws - len(there), draws
    )


def _checked(answers: ArrayLike) -> Numbers:
    values = np.asarray(answers, dtype=np.float64)
    known = values[~np.isnan(values)]
    if values.ndim != 2 or (known != np.round(known)).any() or (known < 0).any():
        raise AssessmentError(
            f"expected ranks (rater, item), whole numbers from 0 on or NaN, got shape {values.shape}",
            hint="the rank of a value on its scale, from open to closed",
        )
    return values


def _counts(values: Numbers) -> Numbers:
    """How many raters gave each value to each item, (item, value)."""
    known = values[~np.isnan(values)]
    size = int(known.max()) + 1 if known.size else 1
    return np.stack([(values == value).sum(0) for value in range(size)], 1).astype(np.float64)


def _alpha(counts: Numbers, scale: Scale) -> float | None:
    """From counts (item, value) of items with two answers or more."""
    totals, pairable = counts.sum(0), counts.sum()
    apart = _distances(totals, scale)
    expected = float(totals @ apart @ totals)
    if pairable < 2 or expected == 0:
        return None
    weights = counts / (counts.sum(1, keepdims=True) - 1)
    observed = float((weights * (counts @ apart)).sum())
    return 1 - (pairable - 1) * observed / expected


def _distances(totals: Numbers, scale: Scale) -> Numbers:
    """The squared distance of each value from each: by how many answers lie between, or the same for all."""
    size = len(totals)
    if scale == "nominal":
        return 1 - np.eye(size)
    upto = np.cumsum(totals)
    made = np.zeros((size, size))
    for one in range(size):
        for other in range(one + 1, size):
            between = upto[other] - (upto[one] - totals[one]) - (totals[one] + totals[other]) / 2
            made[one, other] = made[other, one] = between**2
    return made


def ranks(answers: Sequence[Sequence[Sequence[str] | None]], scale: Sequence[str]) -> Numbers:
    """Answers (rater, item) of sets of values as ranks, the most closed of each; NaN for none."""
    return np.array(
        [[np.nan if not each else max(map(list(scale).index, each)) for each in rater] for rater in answers],
        dtype=np.float64,
    )
