"""Rows of activations drawn at random from a stream of any length, the same rows at every site and in both models."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass
class Sample:
    """At most `most` rows of all that were shown, each as likely as any other."""

    most: int
    keys: Floats
    """of the rows that are kept: those with the smallest random numbers are"""
    rows: tuple[Floats, ...]
    """of each array that is sampled along, (row, feature)"""

    @classmethod
    def empty(cls, most: int) -> "Sample":
        return cls(most, np.zeros(0), ())

    def shown(self, keys: Floats, *arrays: Floats) -> "Sample":
        """The sample after these rows too; `keys` has a random number for each."""
        joined = [np.concatenate(pair) for pair in zip(self.rows, arrays, strict=True)] if self.rows else arrays
        every = np.concatenate([self.keys, keys])
        kept = np.argsort(every, kind="stable")[: self.most]
        return Sample(self.most, every[kept], tuple(each[kept] for each in joined))
