"""How often each code of a view stood at each level of activation: sparse, merged as batches come."""

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.labels.levels import COUNT

Whole = NDArray[np.int64]
MOST = 2**20
"""pairs of code and level that are kept for a view; beyond them the rarest go, which no rule would be made of"""
_SHIFT = COUNT.bit_length()


class Counts:
    """Of one view and one feature."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._keys = np.zeros(0, dtype=np.int64)
        self._counts = np.zeros(0, dtype=np.int64)
        self._waiting: list[tuple[Whole, Whole]] = []
        self.dropped = 0
        """tokens whose pairs were let go"""

    def add(self, codes: Whole, levels: Whole) -> None:
        """One batch's places, a code and a level each; codes below 0 stand for nothing and are left out."""
        there = codes >= 0
        self._waiting.append(np.unique(codes[there] << _SHIFT | levels[there], return_counts=True))
        if sum(len(keys) for keys, _ in self._waiting) > max(4 * len(self._keys), 2**16):
            self._merge()

    def above(self, threshold: int) -> tuple[Whole, Whole, Whole]:
        """The codes, how often each stood anywhere, and how often at `threshold` or above."""
        self._merge()
        codes, place = np.unique(self._keys >> _SHIFT, return_inverse=True)
        active = (self._keys & ((1 << _SHIFT) - 1)) >= threshold
        seen = np.bincount(place, weights=self._counts, minlength=len(codes))
        hits = np.bincount(place, weights=self._counts * active, minlength=len(codes))
        return codes, seen.astype(np.int64), hits.astype(np.int64)

    def _merge(self) -> None:
        keys = np.concatenate([self._keys, *(keys for keys, _ in self._waiting)])
        counts = np.concatenate([self._counts, *(counts for _, counts in self._waiting)])
        self._keys, place = np.unique(keys, return_inverse=True)
        self._counts = np.bincount(place, weights=counts, minlength=len(self._keys)).astype(np.int64)
        self._waiting = []
        if len(self._keys) > self._most:
            kept = np.sort(np.argpartition(-self._counts, self._most)[: self._most])
            self.dropped += int(self._counts.sum() - self._counts[kept].sum())
            self._keys, self._counts = self._keys[kept], self._counts[kept]
