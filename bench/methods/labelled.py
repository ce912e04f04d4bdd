"""Labelled activations that probes and erasers are fitted on: drawn by seeds, the same NumPy in every environment."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SEED = 7
SIZES = {"4000x128": (4000, 128), "300x1024": (300, 1024)}
"""examples to fit on and their dimensions: many of one, and many of the other"""
HELD = 2000
PENALTY, SHRINKAGE = 1.0, 0.1
ERASED = {"2 classes": 2, "5 classes": 5}
ROWS, DIM = 10_000, 128


class Labelled(NamedTuple):
    """Activations, and the number of each one's class."""

    values: Floats
    labels: NDArray[np.int64]


def two(size: str, seed: int = SEED) -> tuple[Labelled, Labelled]:
    """Two Gaussian classes that overlap: to fit on, and to hold against."""
    count, dim = SIZES[size]
    drawn = _drawn(count + HELD, dim, 2, 1.6, np.random.default_rng([seed, dim]))
    return Labelled(*(each[:count] for each in drawn)), Labelled(*(each[count:] for each in drawn))


def several(setting: str, seed: int = SEED) -> Labelled:
    """Classes whose means differ, to be erased."""
    classes = ERASED[setting]
    return _drawn(ROWS, DIM, classes, 3.0, np.random.default_rng([seed, DIM, classes]))


def _drawn(count: int, dim: int, classes: int, apart: float, rng: np.random.Generator) -> Labelled:
    """Correlated dimensions of unequal spread, as activations have them."""
    mixed = rng.standard_normal((dim, dim)) / np.sqrt(dim) * np.geomspace(0.3, 3, dim) + np.eye(dim)
    labels = np.arange(count) % classes
    rng.shuffle(labels)
    means = apart * rng.standard_normal((classes, dim)) / np.sqrt(dim)
    return Labelled((means[labels] + rng.standard_normal((count, dim))) @ mixed + 0.5, labels)
