"""What a sync asks of a relay, whatever carries it: HTTP, or memory in tests."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from darklantern.sealing import LogVerifyKey

Sink = Callable[[memoryview], None]
"""Takes the bytes of a piece as they come; the memory is used again afterwards."""


@dataclass(frozen=True)
class Posted:
    """What a relay says about one record that was sent to it."""

    id: str
    position: int | None
    """where it stands in the log now; None: it is not in it"""
    refused: str | None
    """why it does not count, or is not in the log"""


class Remote(Protocol):
    """A relay. Every method raises RelayError when it cannot be reached or breaks off, and may be called by several
    threads at once, `connections` of them to good effect."""

    @property
    def name(self) -> str:
        """What to call it in a report, and to remember it by."""

    @property
    def log_key(self) -> LogVerifyKey | None:
        """The key of the logs that it appends to, as this library was told. None: it only mirrors."""

    @property
    def connections(self) -> int:
        """How many requests at once it is good for."""

    def heads(self) -> Mapping[str, bytes]:
        """Log → its newest signed note, for every log that this device may read."""

    def entries(self, log: str, start: int, stop: int) -> Sequence[bytes]:
        """Envelopes from `start` on; fewer than asked where a page ends."""

    def missing(self, log: str, names: Collection[str]) -> frozenset[str]:
        """Which of the named pieces the relay lacks for this log."""

    def get(self, log: str, name: str, start: int, sink: Sink) -> bool:
        """Give the bytes of a piece from `start` on to `sink`; False when the relay does not have it."""

    def put(self, log: str, name: str, data: bytes) -> None:
        """Store a piece. Raises RefusedError for one that the relay does not take."""

    def post(self, log: str, records: Sequence[bytes], pieces: Iterable[bytes]) -> tuple[Posted, ...]:
        """Ask that records be appended, with small pieces that they name. One answer for each, in order."""

    def close(self) -> None:
        """Let go of its connections."""
