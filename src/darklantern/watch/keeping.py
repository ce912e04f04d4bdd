"""Training states kept in memory, and which of them is known to be clean."""

from collections import deque
from dataclasses import dataclass

from darklantern.models.cursors import Snapshot


@dataclass(frozen=True)
class Kept:
    """A training state in memory, with the number of looks taken before it."""

    step: int
    looks: int
    snapshot: Snapshot | None
    """None where the watch holds no states: then it is known when the run was clean, and a checkpoint may be"""


class States:
    """The states of the newest looks and, beside them, the newest clean one that left their ring, however old.

    Clean are the states up to a number of looks that the watch names from its statistic. That number
    only grows while a run goes on, so a state that was clean when it left the ring still is.
    """

    def __init__(self, history: int) -> None:
        self._recent: deque[Kept] = deque(maxlen=history)
        self._old: Kept | None = None

    def __bool__(self) -> bool:
        return bool(self._recent)

    @property
    def steps(self) -> set[int]:
        """The steps of all states that are held."""
        return {kept.step for kept in [*self._recent, *([self._old] if self._old else [])]}

    def add(self, kept: Kept, clean_looks: int) -> None:
        """Keep a state; remember the one that leaves the ring if it is clean."""
        if len(self._recent) == self._recent.maxlen and self._recent[0].looks <= clean_looks:
            self._old = self._recent[0]
        self._recent.append(kept)

    def clean(self, clean_looks: int) -> Kept | None:
        """The newest clean state; None when the statistic rose before there was one."""
        return next((kept for kept in reversed(self._recent) if kept.looks <= clean_looks), self._old)

    def back_to(self, kept: Kept) -> None:
        """Drop what was kept after `kept`, which is the newest from now on."""
        earlier = [other for other in self._recent if other.looks < kept.looks]
        self._recent.clear()
        self._recent.extend([*earlier, kept])
