"""The outbox, to the relay that appends: pieces first, then the records that name them.

In: a remote and what may leave. Out: what the relay says of each record. It sends nothing to a relay that only
mirrors a log.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from darklantern.errors import StoreError
from darklantern.library.syncing.remote import Posted, Remote
from darklantern.network.items import Sealed
from darklantern.network.reading import read
from darklantern.network.view import View
from darklantern.records.relay_wire import MOST_RECORDS
from darklantern.stores.blobs import Blobs
from darklantern.stores.values import Waiting

INLINE: Final = 64 * 1024
"""Bytes: pieces up to this size travel with their record in one request."""

_AT_ONCE: Final = 1024 * 1024
"""Bytes: of records in one request, unless one alone has more, and as many of pieces beside them."""


@dataclass(frozen=True)
class Load:
    """What goes to one log in one request."""

    log: str
    waiting: tuple[Waiting, ...]


def loads(remote: Remote, view: View, sendable: Sequence[Waiting]) -> Iterator[Load]:
    """What this relay appends, in the order of its making, the network's log first."""
    for log in sorted({waiting.log for waiting in sendable}, key=lambda log: (log != view.net, log)):
        key = view.log_key(log)
        begins = log == view.net and key is None  # before the first roster nobody is named
        if remote.log_key is not None and log not in view.forks and (begins or key == remote.log_key):
            yield from _loads(log, [each for each in sendable if each.log == log])


def _loads(log: str, waiting: Sequence[Waiting]) -> Iterator[Load]:
    load: list[Waiting] = []
    for each in waiting:
        size = sum(len(other.envelope) for other in load) + len(each.envelope)
        if load and (size > _AT_ONCE or len(load) == MOST_RECORDS):
            yield Load(log, tuple(load))
            load = []
        load.append(each)
    yield Load(log, tuple(load))


def push(remote: Remote, load: Load, blobs: Blobs) -> tuple[Posted, ...]:
    """The answers of the relay. Raises RelayError, RefusedError, and StoreError when an own piece is not here."""
    bodies = [body for each in load.waiting if isinstance(body := read(each.envelope).body, Sealed)]
    names = dict.fromkeys(name for body in bodies for name in (*body.pieces, *body.attached))
    asked = remote.missing(load.log, names) if names else frozenset[str]()
    lacking = [name for name in names if name in asked]
    small = [name for name in lacking if 0 < blobs.size(name) <= INLINE][: _AT_ONCE // INLINE]

    def piece(name: str) -> bytes:
        data = blobs.get(name)
        if data is None:
            raise StoreError(
                f"the piece {name} of a record that waits is not here",
                hint="restore it from a backup, or import a bundle that carries it; the record stays in the outbox",
            )
        return data

    large = [name for name in lacking if name not in small]
    if large:
        with ThreadPoolExecutor(min(remote.connections, len(large)), "pieces") as pool:
            for _ in pool.map(lambda name: remote.put(load.log, name, piece(name)), large):
                pass
    return remote.post(load.log, [each.envelope for each in load.waiting], map(piece, small))
