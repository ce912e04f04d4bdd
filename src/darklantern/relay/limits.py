"""Bounds that live in one process: how often, how many at once, how many bytes in memory.

In: a key and the time. Out: nothing, or a Problem that says when to come back. Memory for keys is bounded too.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from darklantern.relay.problems import busy, too_many

_KEYS: Final = 20_000


class Rate:
    """So many a `period_s` for each key, and as many at once (a token bucket)."""

    def __init__(self, most: int, period_s: float) -> None:
        self._most = float(most)
        self._per_s = most / period_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> None:
        """Count one. Raises Problem 429."""
        left = self._left(key, now)
        self._buckets.pop(key, None)
        self._buckets[key] = (max(0.0, left - 1), now)
        while len(self._buckets) > _KEYS:  # the key that asked longest ago; forgetting it is to its favour
            self._buckets.popitem(last=False)
        self._check(left)

    def check(self, key: str, now: float) -> None:
        """Count none. Raises Problem 429 where `take` would."""
        self._check(self._left(key, now))

    def _left(self, key: str, now: float) -> float:
        left, since = self._buckets.get(key, (self._most, now))
        return min(self._most, left + max(0.0, now - since) * self._per_s)

    def _check(self, left: float) -> None:
        if left < 1:
            raise too_many("too many requests in a short time", (1 - left) / self._per_s)


class Bound:
    """At most `most` of something at once."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self.held = 0

    @contextmanager
    def hold(self, amount: int = 1) -> Iterator[None]:
        """Hold `amount` for the body. Raises Problem 503 when that is too many."""
        if self.held + amount > self._most:
            raise busy(f"the relay has too many {self._what} now")
        self.held += amount
        try:
            yield
        finally:
            self.held -= amount


class BoundEach:
    """At most `most` at once for each key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[str, int] = {}

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Hold one for the body. Raises Problem 429."""
        held = self._held.get(key, 0)
        if held >= self._most:
            raise too_many(f"expected at most {self._most} requests at once of one device or address, got more", 1)
        self._held[key] = held + 1
        try:
            yield
        finally:
            if self._held[key] == 1:
                del self._held[key]
            else:
                self._held[key] -= 1
