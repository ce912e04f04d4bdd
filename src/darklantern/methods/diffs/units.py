"""How far each unit of a site moved: each head, neuron, channel or dimension; exact over any stream."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
AXES = ("head", "neuron", "channel", "dim")
"""what counts as a unit, the first of these that a value has"""


@dataclass(frozen=True)
class Moved:
    """Sums over examples and positions."""

    before: Floats
    """Σ|before|² of each unit"""
    step: Floats
    """Σ|after − before|²"""

    @classmethod
    def of(cls, before: Floats, after: Floats, axis: int) -> "Moved":
        """Of two arrays of one shape, over all axes but `axis`."""
        rest = tuple(each for each in range(before.ndim) if each != axis)
        return cls((before**2).sum(rest), ((after - before) ** 2).sum(rest))

    def __add__(self, other: "Moved") -> "Moved":
        return Moved(self.before + other.before, self.step + other.step)

    @property
    def each(self) -> Floats:
        """√(Σ|after − before|² / Σ|before|²) of each unit; 0 for one that did not move, infinite for one that was 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.step == 0, 0.0, np.sqrt(self.step / self.before))

    @property
    def whole(self) -> float:
        """The same of all units as one."""
        before, step = float(self.before.sum()), float(self.step.sum())
        return 0.0 if not step else float(np.sqrt(step / before)) if before else float("inf")
