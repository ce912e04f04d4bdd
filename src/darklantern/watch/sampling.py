"""A fair part of the rows that pass, so that what a look costs does not grow with the steps since the last one."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.examples import Tokens

MOST: Final = 1 << 18
"""tokens that are counted at one look: 4,032 rows of 65, or 64 of 4,096. More would cost more than a step of a small
model takes, and `every` would grow to pay for it, and the rows with it"""


class Sample:
    """Up to `most` tokens of the rows that were added, each row as likely as any other.

    All of them as long as they fit. Each row draws a number, and those with the lowest stay: so nothing that leaves
    was kept for its place in a batch, which whoever orders the data may know. Costs a draw for each row.
    """

    def __init__(self, seed: int = 0, most: int = MOST) -> None:
        self._rng = np.random.default_rng(seed)
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._held: list[tuple[Tokens, NDArray[np.float64]]] = []
        self._bound = 1.0
        self.passed = 0
        """rows that were added"""

    def add(self, rows: Tokens) -> None:
        """Rows of one width, (n, width)."""
        drawn = self._rng.random(len(rows))
        self.passed += len(rows)
        stays = drawn < self._bound
        self._held.append((rows, drawn) if stays.all() else (rows[stays], drawn[stays]))
        if self._tokens > 2 * self._most:  # not at each batch: sorting all would cost more than counting them
            self._thin()

    def rows(self) -> list[Tokens]:
        """The sample, batch by batch in the order in which they came."""
        if self._tokens > self._most:
            self._thin()
        return [rows for rows, _ in self._held if len(rows)]

    @property
    def left_out(self) -> int:
        """Rows that were added and are not in the sample."""
        return self.passed - sum(map(len, self.rows()))

    @property
    def _tokens(self) -> int:
        return sum(rows.size for rows, _ in self._held)

    def _thin(self) -> None:
        drawn = np.concatenate([each for _, each in self._held])
        widths = np.concatenate([np.full(len(rows), rows.shape[1]) for rows, _ in self._held])
        order = np.argsort(drawn)
        fits = max(1, int(np.searchsorted(np.cumsum(widths[order]), self._most, side="right")))
        if fits < len(order):
            self._bound = float(drawn[order[fits]])
            self._held = [(rows[each < self._bound], each[each < self._bound]) for rows, each in self._held]
