"""The token rows that a loop trained on since the last look: copied as they come, thinned when they grow many."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.examples import Examples, Tokens, narrowed

MOST = 1 << 20
"""tokens to keep for a look: a span in a thousandth of the rows of 64 tokens is still in sixteen of them"""
_WAITING = 32
"""batches that may wait on a device before they are fetched"""


class Fresh:
    """Rows since the last look. Of more than `most` tokens every second row is kept, of twice as many every fourth."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self.clear()

    def clear(self) -> None:
        """A look has taken them."""
        self._waiting: list[Callable[[], Examples]] = []
        self._held: list[tuple[NDArray[np.int64], Tokens]] = []
        """numbers of the rows since the last look, and the rows"""
        self._count, self._every = 0, 1

    def add(self, batch: Callable[[], Examples]) -> None:
        """A batch that holds its own memory, and may still lie on a device."""
        self._waiting.append(batch)
        if len(self._waiting) >= _WAITING:
            self._fetch()

    @property
    def rows(self) -> list[Tokens]:
        """Batch by batch, each (n, width), in the smallest dtype that holds them."""
        self._fetch()
        return [rows for _, rows in self._held if len(rows)]

    def _fetch(self) -> None:
        waiting, self._waiting = self._waiting, []
        for batch in waiting:
            tokens = batch().tokens
            numbers = np.arange(self._count, self._count + len(tokens))
            self._count += len(tokens)
            kept = numbers % self._every == 0
            self._held.append((numbers[kept], narrowed(tokens[kept])))
        while sum(rows.size for _, rows in self._held) > self._most and sum(len(rows) for _, rows in self._held) > 1:
            self._every *= 2
            self._held = [
                (numbers[kept], rows[kept])
                for numbers, rows in self._held
                if (kept := numbers % self._every == 0).any()
            ]
