"""How long a loop's steps take, and how long what the watch does between them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Seconds in the user's loop body, and in the watch. A step may be made of several batches."""

    def __init__(self) -> None:
        self.looking = 0.0
        self.training = 0.0
        self._since: float | None = None
        """when the batch in hand was handed out; None while none is"""
        self._lap = 0.0
        """that the step under way took so far, up to its newest batch"""

    @property
    def overhead(self) -> float:
        """Time in the watch as a share of that in the loop body."""
        return self.looking / self.training if self.training else 0.0

    def handed_out(self) -> None:
        """A batch goes to the loop."""
        self._since = time.perf_counter()

    def taken_back(self) -> None:
        """The loop asks for the next batch of a step."""
        if self._since is not None:
            self._lap += time.perf_counter() - self._since
            self._since = None

    def stepped(self) -> float | None:
        """The update is done: what the step took. None where no batch is in hand."""
        if self._since is None:
            return None
        seconds = self._lap + time.perf_counter() - self._since
        self._since, self._lap = None, 0.0
        self.training += seconds
        return seconds

    def trains(self, wait: Callable[[], None]) -> None:
        """`wait` until the device has done what the loop asked of it: time of the loop's."""
        started = time.perf_counter()
        wait()
        self.training += time.perf_counter() - started

    @contextmanager
    def looks(self) -> Iterator[Callable[[], float]]:
        """The watch is at work. Gives what it took so far."""
        started = time.perf_counter()
        try:
            yield lambda: time.perf_counter() - started
        finally:
            self.looking += time.perf_counter() - started
