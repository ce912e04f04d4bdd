"""The outbox, to the relay that appends: pieces first, then the records that name them.

In: a remote and what may leave. Out: what the relay says of each record. It sends nothing to a relay that only
mirrors a log.
"""

from collections.abc import Callable, Iterator, Sequence
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
class Batch:
    """What goes to one log in one request."""

    log: str
    waiting: tuple[Waiting, ...]


def batches(remote: Remote, view: View, sendable: Sequence[Waiting]) -> Iterator[Batch]:
    """What this relay appends, in the order of its making, the network's log first."""
    for log in sorted({waiting.log for waiting in sendable}, key=lambda log: (log != view.net, log)):
        if _appends(remote, view, log):
            yield from _batches(log, [each for each in sendable if each.log == log])


def _appends(remote: Remote, view: View, log: str) -> bool:
    key = view.log_key(log)
    begins = log == view.net and key is None  # before the first roster nobody is named
    return remote.log_key is not None and log not in view.forks and (begins or key == remote.log_key)


def _batches(log: str, waiting: Sequence[Waiting]) -> Iterator[Batch]:
    batch, size = list[Waiting](), 0
    for each in waiting:
        if batch and (size + len(each.envelope) > _AT_ONCE or len(batch) == MOST_RECORDS):
            yield Batch(log, tuple(batch))
            batch, size = [], 0
        batch.append(each)
        size += len(each.envelope)
    yield Batch(log, tuple(batch))


def able_to_leave(
    remote: Remote, view: View, waiting: Sequence[Waiting], is_own: Callable[[Waiting], bool], blobs: Blobs
) -> tuple[tuple[Waiting, ...], dict[str, str]]:
    """Those whose pieces are here or there, and why the others stay, with what this device wrote after them."""
    ready, stay, logs = list[Waiting](), dict[str, str](), set[str]()
    for each in waiting:
        body = read(each.envelope).body
        absent = [name for name in body.names if name not in blobs] if isinstance(body, Sealed) else []
        asks = absent and is_own(each) and _appends(remote, view, each.log)
        lacking = remote.missing(each.log, absent) if asks else frozenset[str]()
        if lacking:
            stay[each.id] = f"its piece {min(lacking)} is not here: restore it from a backup, or from a bundle"
            logs.add(each.log)
        elif each.log in logs and is_own(each):
            stay[each.id] = "it follows a record that cannot leave"
        else:
            ready.append(each)
    return tuple(ready), stay


def push(remote: Remote, batch: Batch, blobs: Blobs) -> tuple[Posted, ...]:
    """The answers of the relay. Raises RelayError, RefusedError, and StoreError when an own piece is not here."""
    bodies = [body for each in batch.waiting if isinstance(body := read(each.envelope).body, Sealed)]
    names = dict.fromkeys(name for body in bodies for name in (*body.pieces, *body.attached))
    asked = remote.missing(batch.log, names) if names else frozenset[str]()
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
            for _ in pool.map(lambda name: remote.put(batch.log, name, piece(name)), large):
                pass
    return remote.post(batch.log, [each.envelope for each in batch.waiting], map(piece, small))
