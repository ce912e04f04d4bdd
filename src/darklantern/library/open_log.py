"""The open-log: what was opened on this device and when, each entry holding on to the one before.

In: what is about to be opened, and the entries so far. Out: the next entry, or the whole log once its chain is whole.
It is written before anything is handed out, so that a full disk refuses the opening and not the entry. It is this
device's own account, in its own encrypted store: whoever has the passphrase can write another. It proves nothing to
others about what was not opened.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from darklantern.errors import LogError, RecordError
from darklantern.network.clock import text
from darklantern.records.exact import Sha256, Time, Value, decode, encode
from darklantern.records.record import NOBODY
from darklantern.stores.database import Database

Act = Literal["item", "artifact", "thread", "export"]
"""What was opened: the finding, one of its artifacts, its thread; or it left as an age file."""

END: Final = "end of the open-log"
"""Setting: how many entries there are, and the hash of the last. Else nobody would miss what was cut off the end."""

AGAIN_AFTER: Final = 3600
"""Seconds. A page that shows one item asks for it many times; each hour in which it was opened has its entry."""


class Opening(Value, frozen=True, kw_only=True):
    """One entry."""

    v: Literal[1] = 1
    seq: Annotated[int, msgspec.Meta(ge=0)]
    prev: Sha256
    """SHA-256 of the entry before, or 64 zeros"""
    device: Sha256
    time: Time
    act: Act
    item: Sha256
    artifact: Sha256 | None = None


@dataclass(frozen=True)
class OpenLog:
    """All entries, in order, with the hash that they come to: note it elsewhere to compare later."""

    entries: tuple[Opening, ...]
    head: str


def note(database: Database, device: str, act: Act, item: str, now: int, artifact: str | None = None) -> None:
    """Write that this is opened now, unless the log says so for this hour already. Raises StoreError or LogError."""
    what = f"{item} {artifact or ''}"
    latest = database.latest_opening(what, act)
    if latest is not None and 0 <= now - latest < AGAIN_AFTER and act != "export":
        return
    seq, head = _end(database.setting(END))
    entry = Opening(seq=seq, prev=head, device=device, time=text(now), act=act, item=item, artifact=artifact)
    data = encode(entry)
    database.note_opening(what, act, now, data, (END, f"{seq + 1} {_hash(data)}"))


def read(entries: Sequence[bytes], end: str | None) -> OpenLog:
    """The log, once each entry holds on to the one before and the last is the last. Raises LogError."""
    opened: list[Opening] = []
    head = NOBODY
    for seq, data in enumerate(entries):
        try:
            entry = decode(Opening, data)
        except RecordError as error:
            raise _broken(f"entry {seq} does not read: {error.message}") from error
        if (entry.seq, entry.prev) != (seq, head):
            raise _broken(f"entry {seq} does not follow the one before")
        opened.append(entry)
        head = _hash(data)
    if _end(end) != (len(opened), head):
        raise _broken(f"{_end(end)[0]} entries were written and {len(opened)} are here, or the last is another")
    return OpenLog(tuple(opened), head)


def _end(end: str | None) -> tuple[int, str]:
    if end is None:
        return 0, NOBODY
    count, head = end.split(" ")
    return int(count), head


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _broken(what: str) -> LogError:
    return LogError(
        f"the open-log is not whole: {what}",
        hint="somebody who has the passphrase changed it, or the store was put together from two: keep it and say so",
    )
