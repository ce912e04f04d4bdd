"""Blobs of logs: who has which, who pays, and what becomes of those that nobody names."""

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from blake3 import blake3

from darklantern.errors import StoreError
from darklantern.relay.charging import Quotas
from darklantern.relay.pieces import Pieces
from darklantern.relay.stores import Blobs, Commit, Database, Drop, Need, OtherBytesError, QuotaError
from darklantern.relay.stores.blobs import is_whole

from .appending import append, entry, step

A, B = "a.example/log", "b.example/log"
ORG, ORG_BYTES, PEER_BYTES, DAY_BYTES, DAY_S = "org:Aurora", 1_000_000, 1_500_000, 2_000_000, 24 * 3600
SIZES = (1000, 200_000)


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pieces(database: Database, tmp_path: Path, clock: Clock) -> Pieces:
    from darklantern.relay.stores import open_blobs

    return Pieces(
        database, open_blobs(f"file://{tmp_path}/pieces"), Quotas(ORG_BYTES, PEER_BYTES, DAY_BYTES, clock), clock
    )


def put(pieces: Pieces, log: str, data: bytes, account: str = ORG) -> str:
    name = blake3(data).hexdigest()
    pieces.put_now(log, name, (data,), account)
    return name


def has(pieces: Pieces, log: str, name: str) -> bytes | None:
    async def read() -> bytes | None:
        piece = await pieces.find(log, name)
        if piece is None:
            return None
        return b"".join([part async for part in pieces.read(name, piece, 0, piece.size)])

    return asyncio.run(read())


def drop(pieces: Pieces, log: str, name: str) -> None:
    """As a tombstone does."""
    pieces._database.commit(Commit((), drops=(Drop(log, (name,)),)))
    pieces.collect()


def named(database: Database, log: str, name: str, word: str) -> None:
    """Append a record that needs the blob."""
    done = step(log, database.head(log).frontier, entry(word))
    database.commit(Commit((done,), (Need(log, name),), time=done.time))


@pytest.mark.parametrize("size", SIZES)
def test_a_blob_goes_when_nothing_needs_it_and_once_is_enough(pieces: Pieces, database: Database, size: int) -> None:
    data = os.urandom(size)
    name = put(pieces, A, data)
    named(database, A, name, "one")
    named(database, A, name, "two")
    assert (has(pieces, A, name), database.used(ORG)) == (data, size)
    for _ in range(2):
        drop(pieces, A, name)
        assert has(pieces, A, name) is None
    assert database.used(ORG) == 0
    assert list(pieces._blobs.names()) == []


@pytest.mark.parametrize("size", SIZES)
def test_a_tombstone_in_one_log_leaves_the_other_s_copy(pieces: Pieces, database: Database, size: int) -> None:
    data = os.urandom(size)
    for log, account in ((A, ORG), (B, "org:Beacon")):
        name = put(pieces, log, data, account)
        named(database, log, name, "it")
    drop(pieces, A, name)
    assert has(pieces, A, name) is None
    assert has(pieces, B, name) == data
    assert (database.used(ORG), database.used("org:Beacon")) == (0, size)
    drop(pieces, B, name)
    assert list(pieces._blobs.names()) == []


def test_what_was_dropped_does_not_come_back_with_its_record(database: Database, pieces: Pieces) -> None:
    data = os.urandom(1000)
    name = put(pieces, A, data)
    named(database, A, name, "it")
    drop(pieces, A, name)
    database.commit(Commit((), (Need(A, name, data, ORG, ORG_BYTES, needed=False),)))
    assert has(pieces, A, name) is None


@pytest.mark.parametrize("size", SIZES)
def test_a_blob_that_no_record_names_expires(pieces: Pieces, database: Database, clock: Clock, size: int) -> None:
    orphan, kept = put(pieces, A, os.urandom(size)), put(pieces, A, os.urandom(size))
    named(database, A, kept, "it")
    clock.now += 7 * DAY_S
    assert pieces.expire(7 * DAY_S) == 0
    clock.now += 1
    assert pieces.expire(7 * DAY_S) == 1
    assert has(pieces, A, orphan) is None
    assert has(pieces, A, kept)
    assert database.used(ORG) == size


def test_an_upload_that_died_is_paid_back_and_may_begin_again(pieces: Pieces, database: Database, clock: Clock) -> None:
    data = os.urandom(200_000)
    name = blake3(data).hexdigest()
    from darklantern.relay.stores import Charge

    named(database, A, name, "it")
    charge = Charge(ORG, len(data), ORG_BYTES)
    for upload in ("one", "two"):
        assert database.begin_piece(upload, A, name, charge, int(clock()))  # and then the relay is killed
    assert database.used(ORG) == 2 * len(data)
    clock.now += DAY_S
    assert pieces.expire(7 * DAY_S) == 2
    assert database.used(ORG) == 0
    assert put(pieces, A, data) == name
    assert has(pieces, A, name) == data
    assert database.used(ORG) == len(data)


def test_an_upload_that_fails_costs_nothing(database: Database, clock: Clock, tmp_path: Path) -> None:
    class Full:
        """A store whose disk is full."""

        def put(self, name: str, chunks: object, max_bytes: int) -> int:
            raise StoreError("the disk is full", hint="make room")

    pieces = Pieces(database, Full(), Quotas(ORG_BYTES, PEER_BYTES, DAY_BYTES, clock), clock)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="full"):
        put(pieces, A, os.urandom(200_000))
    assert database.used(ORG) == 0


class Meanwhile:
    """A store into which another upload goes while the first is in it."""

    def __init__(self, store: Blobs, other: Callable[[], object]) -> None:
        self._store, self._others = store, [other]

    def put(self, name: str, chunks: Iterable[bytes], max_bytes: int) -> int:
        while self._others:
            self._others.pop()()
        return self._store.put(name, chunks, max_bytes)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.mark.parametrize("other_account", [ORG, "org:Beacon"])
@pytest.mark.parametrize("other_is_good", [True, False])
def test_uploads_under_one_name_pay_and_are_paid_back_each_by_itself(
    pieces: Pieces, database: Database, other_account: str, other_is_good: bool
) -> None:
    before = put(pieces, A, os.urandom(300_000))
    data = os.urandom(100_000)
    name = blake3(data).hexdigest()

    def other() -> None:
        if other_is_good:
            pieces.put_now(A, name, (data,), other_account)
        else:
            with pytest.raises(OtherBytesError):
                pieces.put_now(A, name, (bytes(400_000),), other_account)

    pieces._blobs = Meanwhile(pieces._blobs, other)  # type: ignore[assignment]
    pieces.put_now(A, name, (data,), ORG)
    pieces.collect()
    assert has(pieces, A, name) == data
    paid = other_account if other_is_good else ORG  # who was first to end
    assert {account: database.used(account) for account in (ORG, "org:Beacon")} == {
        ORG: 300_000 + 100_000 * (paid == ORG),
        "org:Beacon": 100_000 * (paid == "org:Beacon"),
    }
    for each in (before, name):
        drop(pieces, A, each)
    assert (database.used(ORG), database.used("org:Beacon")) == (0, 0)
    assert list(pieces._blobs.names()) == []


def test_a_second_upload_of_a_name_is_refused_where_its_account_is_full(pieces: Pieces, database: Database) -> None:
    put(pieces, A, os.urandom(900_000))
    data = os.urandom(90_000)
    name = blake3(data).hexdigest()

    def other() -> None:
        with pytest.raises(QuotaError):
            pieces.put_now(A, name, (data,), ORG)

    pieces._blobs = Meanwhile(pieces._blobs, other)  # type: ignore[assignment]
    pieces.put_now(A, name, (data,), ORG)
    assert has(pieces, A, name) == data
    assert database.used(ORG) == 990_000


def test_a_full_quota_keeps_nothing(pieces: Pieces, database: Database) -> None:
    put(pieces, A, os.urandom(900_000))
    for size in (150_000, 50_000 + 50_001):
        with pytest.raises(QuotaError):
            put(pieces, A, os.urandom(size))
    assert database.used(ORG) == 900_000
    for size in (1, 90_000):
        with pytest.raises(OtherBytesError, match="other bytes"):
            pieces.put_now(A, "0" * 64, (bytes(size),), ORG)
    assert database.used(ORG) == 900_000


@pytest.mark.parametrize("size", SIZES)
def test_what_a_device_sends_counts_for_its_day_even_where_it_is_there(
    pieces: Pieces, database: Database, clock: Clock, size: int
) -> None:
    data = os.urandom(size)
    name = blake3(data).hexdigest()
    times = DAY_BYTES // size
    for _ in range(times):
        pieces.put_now(A, name, (data,), ORG, "ada")
    with pytest.raises(QuotaError, match="device:ada"):
        pieces.put_now(A, name, (data,), ORG, "ada")
    assert database.used("device:ada", int(clock()) // DAY_S) == times * size
    assert database.used(ORG) == size
    clock.now += DAY_S
    pieces.put_now(A, name, (data,), ORG, "ada")


def test_what_is_mirrored_counts_against_its_peer_alone(pieces: Pieces, database: Database, clock: Clock) -> None:
    for size in (1000, 1_200_000):  # more than one org may have
        data = os.urandom(size)
        pieces.mirror(A, blake3(data).hexdigest(), data, "lamp")
    with pytest.raises(QuotaError, match="peer:lamp"):
        pieces.mirror(A, "0" * 64, os.urandom(300_000), "lamp")
    assert (database.used("peer:lamp"), database.used(ORG)) == (1_201_000, 0)


def test_bytes_are_deleted_only_when_no_log_has_them(
    pieces: Pieces, database: Database, open_again: Callable[[], Database], clock: Clock
) -> None:
    """One relay drops a blob while another takes the same bytes for a second log."""
    data = os.urandom(200_000)
    name = put(pieces, A, data)
    append(database, A, "it")
    other = Pieces(open_again(), pieces._blobs, pieces._quotas, clock)
    database.commit(Commit((), drops=(Drop(A, (name,)),)))  # decided, and not deleted yet
    put(other, B, data)
    pieces.collect()
    assert has(other, B, name) == data
    assert is_whole(_store(pieces), name)


def _store(pieces: Pieces) -> Blobs:
    return pieces._blobs
