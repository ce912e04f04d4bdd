"""A fair part of the rows that pass, so that what a look costs does not grow with the steps since the last one."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.examples import Examples, Tokens, narrowed

MOST: Final = 1 << 18
"""tokens that are counted at one look: 4,032 rows of 65, or 64 of 4,096. More would cost more than a step of a small
model takes, and `every` would grow to pay for it, and the rows with it"""
_WAITING: Final = 32
"""batches that may wait on a device before they are fetched"""


class Sample:
    """Up to `most` tokens of the rows that were added, each row as likely as any other.

    All of them as long as they fit. Each row draws a number, and those with the lowest stay: so nothing that leaves
    was kept for its place in a batch, which whoever orders the data may know. Costs a draw for each row.
    """

    def __init__(self, seed: int = 0, most: int = MOST) -> None:
        self._seed, self._most = seed, most
        self.clear()

    def clear(self, step: int = 0) -> None:
        """Begin anew after the look at `step`: what is drawn then is the same, also where a rollback came between."""
        self._rng = np.random.default_rng([self._seed, step])
        self._waiting: list[Callable[[], Examples]] = []
        self._held: list[tuple[Tokens, NDArray[np.float64]]] = []
        self._bound = 1.0
        self._passed = 0

    def add(self, batch: Callable[[], Examples]) -> None:
        """Rows of one width, which hold their own memory and may still lie on a device."""
        self._waiting.append(batch)
        if len(self._waiting) >= _WAITING:
            self._fetch()

    def rows(self) -> list[Tokens]:
        """The sample, batch by batch in the order in which they came, in the smallest dtype that holds them."""
        self._fetch()
        if self._tokens > self._most:
            self._thin()
        return [rows for rows, _ in self._held if len(rows)]

    @property
    def passed(self) -> int:
        """Rows that were added."""
        self._fetch()
        return self._passed

    @property
    def left_out(self) -> int:
        """Rows that were added and are not in the sample."""
        return self.passed - sum(map(len, self.rows()))

    def _fetch(self) -> None:
        waiting, self._waiting = self._waiting, []
        for batch in waiting:
            rows = batch().tokens
            drawn = self._rng.random(len(rows))
            self._passed += len(rows)
            stays = drawn < self._bound
            self._held.append((narrowed(rows[stays]), drawn[stays]))
            if self._tokens > 2 * self._most:  # not at each batch: sorting all would cost more than counting them
                self._thin()

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
