"""Judging what one request brings, record by record, on a view of the logs.

In: a view, envelopes and small blobs that a device sends. Out: the view with what entered its log, and what became of
each record. It reads and writes nothing: what it says counts once that is on disk.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.network.reading import Read, leaf_id
from darklantern.network.view import View, check_timely, enter, is_registered
from darklantern.records.record import NOBODY
from darklantern.records.relay_wire import RecordResult
from darklantern.relay.stores import Entry
from darklantern.relay.telling import tell_defect
from darklantern.sealing import LogVerifyKey

_IN_A_ROW: Final = 32
"""records that are judged before others get a turn: about 5 ms"""


@dataclass(frozen=True)
class Put:
    """What one request asks for."""

    log: str
    envelopes: tuple[bytes, ...]
    blobs: Mapping[str, bytes]
    """BLAKE3 → a small blob that came along; hashed already"""
    account: str
    device: str

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.envelopes)) + sum(map(len, self.blobs.values()))


@dataclass(frozen=True)
class Judged:
    """A request, and what becomes of it."""

    put: Put
    results: tuple[RecordResult, ...]
    entries: tuple[Entry, ...]
    """what enters the log, in order"""
    view: View
    """with these"""

    @property
    def all_entered(self) -> bool:
        """Whether each record found its place."""
        return all(result.position is not None for result in self.results)


async def judge(view: View, put: Put, key: LogVerifyKey, now: int) -> Judged:
    """What becomes of `put` on `view`, at a relay that appends with `key`. Nobody else may move the view meanwhile."""
    results: list[RecordResult] = []
    entries: list[Entry] = []
    for count, data in enumerate(put.envelopes, 1):
        try:
            view, found, result = _entered(view, put.log, data, key, now)
            entries.append(Entry(bytes.fromhex(found.id), data))
        except DarkLanternError as error:
            result = _not_entered(view, put.log, data, error)
        except Exception as error:  # noqa: BLE001, one record that meets a defect must not take all others with it
            tell_defect(error)
            unable = RefusedError("this relay cannot judge the record", hint="tell its keeper, who finds it in the log")
            result = _not_entered(view, put.log, data, unable)
        results.append(result)
        if not count % _IN_A_ROW:
            await asyncio.sleep(0)  # others are read and answered meanwhile
    return Judged(put, tuple(results), tuple(entries), view)


def _entered(view: View, log: str, data: bytes, key: LogVerifyKey, now: int) -> tuple[View, Read, RecordResult]:
    """The view with the record at the log's end. Raises DarkLanternError for one that does not enter."""
    after, found, refused = enter(view, log, data)
    check_timely(found, now)
    if after.log_key(log) != key:
        raise RefusedError("from this record on another relay keeps the log", hint="send it to that relay")
    return after, found, RecordResult(id=found.id, position=view.trail(log).size, refused=refused)


def _not_entered(view: View, log: str, data: bytes, error: DarkLanternError) -> RecordResult:
    try:
        id = leaf_id(data)
    except DarkLanternError:
        return RecordResult(id=NOBODY, position=None, refused=error.message)
    if is_registered(view, log, id):
        return RecordResult(id=id, position=view.trail(log).own[id], refused=None)
    return RecordResult(id=id, position=None, refused=error.message)
