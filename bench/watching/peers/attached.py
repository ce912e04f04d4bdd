"""What every peer on a training loop offers to the process that trains. Standard library only."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watching.peers.ran import Given


@dataclass(frozen=True)
class Loop:
    """What a peer may be attached to."""

    model: Any
    optimizer: Any
    every: int
    """steps between looks, where the peer has a cadence"""
    folder: Path
    """an empty one, for whatever the peer writes; gone after the run"""


class Attached(ABC):
    """A peer on a loop, from before the first step."""

    @abstractmethod
    def after(self, step: int, loss: float, batch: Any) -> None:
        """`step` updates are done, the last of them on `batch`; gradients are still there."""

    @abstractmethod
    def close(self) -> None:
        """The run is over: write what is left."""

    @abstractmethod
    def given(self) -> Given:
        """What the peer gave, read from where it keeps it."""


def by_look(every: int, values: Sequence[float]) -> tuple[list[int], list[float]]:
    """A series with one value an update, as means over the updates since the look before: steps, values."""
    looks = range(every, len(values) + 1, every)
    return list(looks), [sum(values[look - every : look]) / every for look in looks]
