"""Were forecasts right, and more so than the base rate? Scores with intervals that say when there is too little to
tell."""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darklantern.assess.bounds import Z95
from darklantern.errors import AssessmentError

Numbers = NDArray[np.float64]
LEAST: Final = 20
"""resolved forecasts, below which an interval by the normal distribution says nothing"""
Z80: Final = 0.8416212335729143
"""four times in five"""
Z90: Final = 1.6448536269514722
"""one side of 95 %"""


@dataclass(frozen=True)
class Murphy:
    """Brier = reliability − resolution + uncertainty, exactly (Murphy 1973), over forecasts of the same probability."""

    reliability: float
    """how far forecasts are from how often it then happened: 0 is best"""
    resolution: float
    """how far apart these shares are: more is better"""
    uncertainty: float
    """of the outcomes themselves"""

    @property
    def brier(self) -> float:
        return self.reliability - self.resolution + self.uncertainty


@dataclass(frozen=True)
class Calibration:
    """Resolved forecasts beside a base rate."""

    brier: float
    base: float
    """the Brier score of the base rate, stated each time"""
    murphy: Murphy
    gain: tuple[float, float, float]
    """how much lower than the base rate's, with the two ends of 95 %, by the normal distribution over forecasts"""
    resolved: int
    happened: int
    needed: int | None
    """resolved forecasts that would show a gain as large as this one, four times in five; None for no gain"""

    @property
    def skill(self) -> float:
        """1: always right; 0: no better than the base rate; below 0: worse."""
        return 1 - self.brier / self.base if self.base else 0.0

    @property
    def says(self) -> str:
        """In words, and whether there is enough to tell."""
        told = f"Brier {self.brier:.3f}, base rate {self.base:.3f}, {self.resolved} resolved"
        _, low, high = self.gain
        if self.resolved < LEAST or not 0 < self.happened < self.resolved:
            return (
                f"{told}: too few to tell from the base rate; it takes {LEAST}, of which some happened and some did not"
            )
        if low > 0:
            return f"{told}: better than the base rate"
        if high < 0:
            return f"{told}: worse than the base rate"
        more = f"; about {self.needed} would show a gain like this" if self.needed else ""
        return f"{told}: too few to tell from the base rate{more}"


def brier(stated: ArrayLike, happened: ArrayLike) -> float:
    """The mean squared distance of probabilities from what happened, 0 to 1; less is better (Brier 1950)."""
    said, true = _checked(stated, happened)
    return float(((said - true) ** 2).mean())


def murphy(stated: ArrayLike, happened: ArrayLike) -> Murphy:
    """The parts of the Brier score. Raises AssessmentError for what is no probability, and for none."""
    said, true = _checked(stated, happened)
    values, group, count = np.unique(said, return_inverse=True, return_counts=True)
    shares = np.bincount(group, weights=true) / count
    weight, mean = count / len(said), true.mean()
    return Murphy(
        float((weight * (values - shares) ** 2).sum()),
        float((weight * (shares - mean) ** 2).sum()),
        float(mean * (1 - mean)),
    )


def calibration(stated: ArrayLike, happened: ArrayLike, base_rate: float) -> Calibration:
    """Forecasts against a base rate that is known beforehand; one fitted to the same outcomes would be hard to beat.

    Forecasts of one finding go together, and count as independent here: give one for each finding, or pool them first.
    Raises AssessmentError for fewer than two, and for what is no probability.
    """
    said, true = _checked(stated, happened)
    if not 0 < base_rate < 1 or len(said) < 2:
        raise AssessmentError(
            f"expected two resolved forecasts and a base rate between 0 and 1, got {len(said)} and {base_rate}",
            hint="the share of such findings to which it happens, from elsewhere",
        )
    gains = (base_rate - true) ** 2 - (said - true) ** 2
    value, spread = float(gains.mean()), float(gains.std(ddof=1))
    half = Z95 * spread / sqrt(len(said))
    needed = ceil(((Z95 + Z80) * spread / value) ** 2) if value > 0 else None
    base = float(((base_rate - true) ** 2).mean())
    return Calibration(
        float(((said - true) ** 2).mean()),
        base,
        murphy(said, true),
        (value, value - half, value + half),
        len(said),
        int(true.sum()),
        needed,
    )


def _checked(stated: ArrayLike, happened: ArrayLike) -> tuple[Numbers, Numbers]:
    said, true = (np.asarray(each, dtype=np.float64) for each in (stated, happened))
    right = said.ndim == 1 and said.shape == true.shape and said.size and ((said >= 0) & (said <= 1)).all()
    if not right or not np.isin(true, (0.0, 1.0)).all():
        raise AssessmentError(
            f"expected probabilities and as many outcomes of 0 or 1, got shapes {said.shape} and {true.shape}",
            hint="resolved forecasts only: an unknown outcome is none",
        )
    return said, true
