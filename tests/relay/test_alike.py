"""Whatever is asked in whatever order, SQLite and PostgreSQL give the same answers."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from darklantern.errors import DarkLanternError
from darklantern.logs.merkle import Frontier
from darklantern.relay.stores import Charge, Commit, Cosignature, Database, Drop, Need, Token, open_database

from . import servers
from .appending import assert_whole, entry, step

LOGS = ("a.example/log", "b.example/log")
Question = Callable[[Database], Any]

logs = st.sampled_from(LOGS)
words = st.lists(st.sampled_from("abcdefgh"), max_size=3, unique=True)
times = st.integers(0, 9).map(lambda hours: hours * 1800)
sizes = st.integers(0, 6)
hashes = st.sampled_from([bytes([number]) * 32 for number in range(3)])
devices = st.sampled_from(["device-1", "device-2"])
charges = st.builds(Charge, devices, sizes, st.just(8), st.integers(0, 2))


def _append(log: str, new: list[str], time: int, charge: Charge, stale: bool) -> Question:
    def ask(database: Database) -> None:
        before = Frontier() if stale else database.head(log).frontier
        database.append(step(log, before, *map(entry, new), time=time), (charge,))

    return ask


def _commit(log: str, new: list[str], named: list[str], time: int) -> Question:
    """Entries that name blobs, of which those with an even digit come along."""

    def ask(database: Database) -> None:
        needs = [
            Need(log, each, b"data" if int(each) % 2 == 0 else None, "org", 20, needed=bool(new)) for each in named
        ]
        appends = (step(log, database.head(log).frontier, *map(entry, new), time=time),) if new else ()
        database.commit(Commit(appends, tuple(needs), time=time))

    return ask


def _upload(ids: list[UUID], log: str, name: str, at: int, ends: str) -> Question:
    """Several begin under one name; the first of them finishes, is cancelled, or does not end, the others finish."""

    def ask(database: Database) -> list[bool]:
        begun = [database.begin_piece(id.hex, log, name, Charge("org", 5, 20), at) for id in ids]
        for id, end in zip(ids, ends + "f" * len(ids), strict=False):
            if end == "c":
                database.cancel_piece(id.hex, name)
            elif end == "f" and all(begun):
                database.finish_piece(id.hex, at)
        return begun

    return ask


def _collected(database: Database) -> tuple[int, list[str]]:
    names: list[str] = []
    return database.collect(names.append), names


name = st.sampled_from("1234")
names = st.lists(name, max_size=3, unique=True)
at = (logs, name, times)

questions: st.SearchStrategy[Question] = st.one_of(
    st.builds(_append, logs, words, times, charges, st.just(False)),
    st.builds(_append, logs, words, times, charges, st.booleans()),
    st.builds(lambda log, time: lambda db: db.stamp(log, db.head(log).frontier, b"stamp %d" % time, time), logs, times),
    st.builds(lambda log, at: lambda db: db.checkpoint(log, at), logs, sizes),
    st.builds(_commit, logs, words, names, times),
    st.builds(lambda log, name, at: lambda db: db.put_piece(log, name, b"put", Charge("org", 3, 20), at), *at),
    st.builds(_upload, st.lists(st.uuids(), min_size=1, max_size=3, unique=True), *at, st.sampled_from("fcn")),
    st.builds(lambda before: lambda db: db.expire_uploads(before), times),
    st.builds(lambda log, some: lambda db: db.drop_pieces(Drop(log, tuple(some))), logs, names),
    st.builds(lambda before: lambda db: db.expire_pieces(before), times),
    st.just(lambda db: _collected(db)),
    st.builds(
        lambda log, some: lambda db: (db.missing(log, some), [db.piece(log, each) for each in some]), logs, names
    ),
    st.builds(lambda log: lambda db: (db.wanted(log, "1", 9), db.used("org")), logs),
    st.builds(lambda log, a, b, most: lambda db: db.entries(log, a, b, most * 10), logs, sizes, sizes, sizes),
    st.builds(lambda log, who, at: lambda db: db.cosign(log, Cosignature(who, at, b"%d" % at)), logs, devices, sizes),
    st.builds(lambda nonce, time: lambda db: db.issue_nonce(nonce, time), hashes, times),
    st.builds(lambda nonce, time: lambda db: db.spend_nonce(nonce, time), hashes, times),
    st.builds(lambda hash_, who, time: lambda db: db.issue_token(Token(hash_, who, time)), hashes, devices, times),
    st.builds(lambda hash_, time: lambda db: db.token(hash_, time), hashes, times),
    st.builds(lambda who: lambda db: db.end_tokens(who), devices),
    st.builds(lambda time: lambda db: db.expire(time), times),
    st.builds(lambda first, second: lambda db: db.charge(first, second), charges, charges),
    st.builds(lambda period: lambda db: db.forget_usage(period), st.integers(0, 3)),
)


def answer(database: Database, question: Question) -> Any:
    try:
        return question(database)
    except DarkLanternError as error:
        return type(error), error.message


def contents(database: Database) -> Any:
    return (
        database.logs(),
        [(database.head(log), assert_whole_but_stamps(database, log), database.cosignatures(log)) for log in LOGS],
        [(database.used(device, period)) for device in ("device-1", "device-2") for period in range(3)],
    )


def assert_whole_but_stamps(database: Database, log: str) -> Any:
    head = database.head(log)
    if head.checkpoint and head.checkpoint.startswith(b"stamp"):
        return database.entries(log, 0, 99, 1 << 20)
    return assert_whole(database, log)


_NUMBER = itertools.count()


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(questions, min_size=5, max_size=40))
def test_both_answer_alike(postgres: servers.Postgres, tmp_path: Path, asked: list[Question]) -> None:
    number = next(_NUMBER)
    one = open_database(f"sqlite://{tmp_path}/relay{number}.db")
    other = open_database(postgres.new_database(f"alike{number}"))
    try:
        for question in asked:
            assert answer(one, question) == answer(other, question)
        assert contents(one) == contents(other)
    finally:
        one.close()
        other.close()
