"""What goes into a relay's database and comes out of it: frozen values, checked when they are made.

Times are in seconds since 1970, sizes in bytes. All raise StoreError for what could not be stored alike by
SQLite and PostgreSQL.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NoReturn

from darklantern.errors import StoreError
from darklantern.logs.merkle import Frontier, leaf_hash

HASH_BYTES: Final = 32
_MAX_INTEGER: Final = (1 << 63) - 1
_MAX_NAME: Final = 255


@dataclass(frozen=True)
class Entry:
    """One leaf of a log."""

    id: bytes
    """SHA-256 of the envelope's PAE, which is the Merkle leaf's data"""
    envelope: bytes
    """the exact bytes"""

    def __post_init__(self) -> None:
        check_hash(self.id)


@dataclass(frozen=True)
class Head:
    """Where a log ends, and what its key signed there."""

    frontier: Frontier = field(default_factory=Frontier)
    checkpoint: bytes | None = None
    """the signed note over the frontier's size and root; None only for a log that has none yet"""
    time: int = 0
    """when it was signed"""


@dataclass(frozen=True)
class Append:
    """Entries to put after `before`, and the checkpoint that holds afterwards: all of it is stored, or nothing."""

    log: str
    before: Frontier
    """what the log held when `checkpoint` was signed: the database refuses when it holds something else now"""
    entries: tuple[Entry, ...]
    checkpoint: bytes
    """signed over the size and root of `after`; not shown to anyone before the append has returned"""
    time: int

    def __post_init__(self) -> None:
        check_name(self.log)
        check_integer(self.time)
        if len({entry.id for entry in self.entries}) != len(self.entries):
            _refuse("entries that differ", "the same one twice")
        if not self.entries and self.before.size:
            _refuse("entries to append", "none; `stamp` signs the same frontier anew")

    @cached_property
    def after(self) -> Frontier:
        """The frontier once the entries are there."""
        return after(self.before, self.entries)


@dataclass(frozen=True)
class Need:
    """A blob that records of a log need from now on, or that came along with them without being needed.

    `data` is set where it came along: it is charged to `account`, unless the log had it. One that nothing needs is kept
    only where something waits for it.
    """

    log: str
    name: str
    data: bytes | None = None
    account: str = ""
    limit: int = 0
    needed: bool = True

    def __post_init__(self) -> None:
        check_name(self.log)
        check_name(self.name)


@dataclass(frozen=True)
class Piece:
    """A blob that a log has: its bytes, or None where they are in the store of blobs."""

    size: int
    data: bytes | None


@dataclass(frozen=True)
class Page:
    """Entries in a row, from position `start` on; as many as the asker's limits let through."""

    start: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Cosignature:
    """What `cosigner` says about the checkpoint of a given size: one note line, newest size only."""

    cosigner: str
    size: int
    line: bytes

    def __post_init__(self) -> None:
        check_name(self.cosigner)
        check_integer(self.size)


@dataclass(frozen=True)
class Token:
    """What lets a device ask until `expires`. The database sees only the hash of the token itself."""

    hash: bytes
    device: str
    expires: int

    def __post_init__(self) -> None:
        check_hash(self.hash)
        check_name(self.device)
        check_integer(self.expires)


@dataclass(frozen=True)
class Charge:
    """Count `amount` against `account`, which may reach `limit` and no more."""

    account: str
    """say, `org:beacon` or `device:1f…`; the names are the caller's"""
    amount: int
    limit: int
    period: int = 0
    """0 counts for ever; else the number of a day, an hour: what the limit is per"""

    def __post_init__(self) -> None:
        check_name(self.account)
        for number in (self.amount, self.limit, self.period):
            check_integer(number)


@dataclass(frozen=True)
class Drop:
    """Blobs that nothing in `log` needs any more."""

    log: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Commit:
    """What one transaction writes: appends to different logs, what they need of blobs, what they cost."""

    appends: tuple[Append, ...]
    needs: tuple[Need, ...] = ()
    """each (log, name) once"""
    charges: tuple[Charge, ...] = ()
    drops: tuple[Drop, ...] = ()
    time: int = 0


def after(before: Frontier, entries: tuple[Entry, ...]) -> Frontier:
    """The frontier of a log that held `before` and got `entries`: what to sign before making an Append."""
    frontier = before
    for entry in entries:
        frontier = frontier.append(leaf_hash(entry.id))
    return frontier


def pack(frontier: Frontier) -> bytes:
    """The frontier's peaks in a row, as a column holds them."""
    return b"".join(frontier.peaks)


def unpack(size: int, peaks: bytes) -> Frontier:
    """The frontier of a log of `size` entries, from its column. Raises StoreError when they do not fit together."""
    if len(peaks) != size.bit_count() * HASH_BYTES:
        raise StoreError(
            f"a log of {size} entries has {len(peaks)} bytes of subtree roots",
            hint="the database is damaged: stop the relay and restore it from a mirror",
        )
    parts = tuple(peaks[at : at + HASH_BYTES] for at in range(0, len(peaks), HASH_BYTES))
    return Frontier(size, parts)


def check_name(name: str) -> None:
    """Text that both databases store alike: PostgreSQL takes no NUL."""
    if not name.isprintable() or not 0 < len(name.encode("utf-8", "surrogatepass")) <= _MAX_NAME:
        _refuse(f"a printable name of 1 to {_MAX_NAME} bytes", repr(name[:_MAX_NAME]))


def check_hash(value: bytes) -> None:
    """Exactly 32 bytes."""
    if len(value) != HASH_BYTES:
        _refuse(f"{HASH_BYTES} bytes of hash", f"{len(value)} bytes")


def check_integer(value: int) -> None:
    """What fits into a signed 64-bit column, and is not negative."""
    if not 0 <= value <= _MAX_INTEGER:
        _refuse("a number from 0 to 2^63 - 1", str(value))


def _refuse(expected: str, got: str) -> NoReturn:
    raise StoreError(f"relay: expected {expected}, got {got}", hint="the caller must check what peers send first")
