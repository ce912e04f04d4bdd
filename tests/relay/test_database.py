"""What every database of a relay does, SQLite and PostgreSQL alike."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from power import Disk

from darklantern.errors import LogError, RefusedError, StoreError
from darklantern.logs.merkle import Frontier
from darklantern.relay.stores import Append, Charge, Cosignature, Database, Entry, Head, Token, open_database
from darklantern.relay.stores.log_tables import KEEP_S, PAGE_ENTRIES
from darklantern.relay.stores.sqlite import SqliteEngine

from .appending import NOW, append, assert_whole, entry, note, step

LOG = "relay.example/circle"
OTHER = "relay.example/other"
Opener = Callable[[], Database]


def test_entries_come_back_in_order_with_their_checkpoint(database: Database, open_again: Opener) -> None:
    assert database.head(LOG) == Head()
    append(database, LOG, "a", "b", "c")
    append(database, LOG, "d")
    append(database, OTHER, "e")
    assert assert_whole(open_again(), LOG) == ("a", "b", "c", "d")
    assert database.logs() == (LOG, OTHER)
    assert database.head(LOG).time == NOW


def test_an_append_to_another_end_is_refused_and_leaves_nothing(database: Database) -> None:
    late = step(LOG, Frontier(), entry("late"))
    append(database, LOG, "first")
    for wrong in (
        late,
        step(LOG, Frontier(7, (b"x" * 32,) * 3), entry("x")),
        step(LOG, Frontier(1, (b"x" * 32,)), entry("x")),
    ):
        with pytest.raises(LogError, match="no longer ends at"):
            database.append(wrong, (Charge("org:a", 5, 10),))
    assert assert_whole(database, LOG) == ("first",)
    assert database.used("org:a") == 0


def test_a_record_enters_a_log_once(database: Database) -> None:
    append(database, LOG, "a", "b")
    with pytest.raises(RefusedError, match="already, at 1"):
        append(database, LOG, "c", "b")
    assert assert_whole(database, LOG) == ("a", "b")
    append(database, OTHER, "b")  # a hostile log must not keep a record out of its own
    assert database.position(LOG, entry("b").id) == 1
    assert database.position(LOG, entry("c").id) is None
    with pytest.raises(StoreError, match="differ"):
        step(LOG, Frontier(), entry("a"), entry("a"))


def test_a_log_may_begin_empty_but_not_twice(database: Database) -> None:
    database.append(step(LOG, Frontier()))
    assert database.head(LOG).checkpoint == note(LOG, Frontier())
    with pytest.raises(LogError):
        database.append(step(LOG, Frontier()))
    append(database, LOG, "a")
    with pytest.raises(StoreError, match="stamp"):
        step(LOG, database.head(LOG).frontier)


def test_of_many_threads_with_the_same_end_one_wins(database: Database, open_again: Opener) -> None:
    append(database, LOG, "a")
    before = database.head(LOG).frontier
    both = (database, open_again())
    start = threading.Barrier(6)

    def attempt(number: int) -> bool:
        start.wait()
        try:
            both[number % 2].append(step(LOG, before, entry(f"racer-{number}")))
        except LogError:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        won = list(threads.map(attempt, range(6)))
    assert sum(won) == 1
    assert assert_whole(database, LOG) == ("a", f"racer-{won.index(True)}")


def test_a_stamp_is_newer_and_over_the_same_frontier(database: Database) -> None:
    append(database, LOG, "a")
    frontier = database.head(LOG).frontier
    database.stamp(LOG, frontier, b"newer", NOW + 1)
    assert database.head(LOG) == Head(frontier, b"newer", NOW + 1)
    for wrong, time in ((frontier, NOW + 1), (Frontier(1, (b"x" * 32,)), NOW + 2), (Frontier(), NOW + 2)):
        with pytest.raises(LogError):
            database.stamp(LOG, wrong, b"wrong", time)
    append(database, LOG, "b")
    with pytest.raises(LogError):
        database.stamp(LOG, frontier, b"regressed", NOW + 9)


def test_pages_keep_to_their_limits(database: Database) -> None:
    before = database.head(LOG).frontier
    many = [entry(f"{number:05}") for number in range(PAGE_ENTRIES + 5)]
    database.append(step(LOG, before, *many))
    assert database.entries(LOG, 0, 1 << 40, 1 << 40).entries == tuple(many[:PAGE_ENTRIES])
    assert database.entries(LOG, 3, 7, 1 << 40).entries == tuple(many[3:7])
    length = len(many[0].envelope or b"")
    assert database.entries(LOG, 0, 100, 3 * length).entries == tuple(many[:3])
    assert database.entries(LOG, 5, 100, 0).entries == (many[5],)  # else a large one could never be fetched
    assert database.entries(LOG, len(many), 1 << 40, 1).entries == ()
    assert database.ids(LOG, 2, 4) == (many[2].id, many[3].id)


def test_checkpoints_are_kept_while_a_cosignature_may_need_them(database: Database) -> None:
    for number, time in enumerate((NOW, NOW + 1, NOW + 2)):
        database.append(step(LOG, database.head(LOG).frontier, entry(str(number)), time=time))
    assert all(database.checkpoint(LOG, size) for size in (1, 2, 3))
    database.cosign(LOG, Cosignature("witness", 2, b"line 2"))
    database.append(step(LOG, database.head(LOG).frontier, entry("late"), time=NOW + KEEP_S + 2))
    assert [size for size in range(6) if database.checkpoint(LOG, size)] == [2, 3, 4]
    with pytest.raises(LogError, match="fetch the newest"):
        database.cosign(LOG, Cosignature("witness", 1, b"line 1"))


def test_a_cosigner_s_newest_line_is_kept(database: Database) -> None:
    append(database, LOG, "a")
    append(database, LOG, "b")
    database.cosign(LOG, Cosignature("z", 2, b"z2"))
    database.cosign(LOG, Cosignature("z", 1, b"z1"))
    database.cosign(LOG, Cosignature("a", 1, b"a1"))
    database.cosign(LOG, Cosignature("a", 1, b"a1 later"))
    assert database.cosignatures(LOG) == (Cosignature("a", 1, b"a1 later"), Cosignature("z", 2, b"z2"))
    assert database.cosignatures(OTHER) == ()
    with pytest.raises(LogError):
        database.cosign(OTHER, Cosignature("z", 1, b"z"))


def test_a_nonce_is_spent_once_and_in_time(database: Database, open_again: Opener) -> None:
    nonce, stale = b"n" * 32, b"s" * 32
    database.issue_nonce(nonce, NOW + 60)
    database.issue_nonce(stale, NOW)
    with pytest.raises(StoreError, match="random"):
        database.issue_nonce(nonce, NOW + 99)
    assert not database.spend_nonce(stale, NOW)
    assert not database.spend_nonce(b"u" * 32, NOW)
    other = open_again()
    with ThreadPoolExecutor(4) as threads:
        spent = list(threads.map(lambda each: each.spend_nonce(nonce, NOW + 59), [database, other] * 2))
    assert sorted(spent) == [False, False, False, True]
    assert database.expire(NOW) == 1


def test_tokens_end_by_time_or_by_revocation(database: Database) -> None:
    tokens = [Token(bytes([number]) * 32, f"device-{number % 2}", NOW + 600 + number) for number in range(4)]
    for token in tokens:
        database.issue_token(token)
    with pytest.raises(StoreError, match="random"):
        database.issue_token(tokens[0])
    assert database.token(tokens[1].hash, NOW) == tokens[1]
    assert database.token(tokens[0].hash, NOW + 600) is None
    assert database.end_tokens("device-1") == 2
    assert database.token(tokens[1].hash, NOW) is None
    assert database.token(tokens[2].hash, NOW) == tokens[2]
    assert database.expire(NOW + 600) == 1


def test_quotas_count_all_or_nothing(database: Database) -> None:
    database.charge(Charge("org", 60, 100), Charge("device", 60, 1000))
    with pytest.raises(RefusedError, match="quota of org, which is 100"):
        database.charge(Charge("device", 41, 1000), Charge("org", 41, 100))
    assert (database.used("org"), database.used("device")) == (60, 60)
    database.charge(Charge("org", 40, 100), Charge("org", 7, 10, period=3))
    assert (database.used("org"), database.used("org", 3)) == (100, 7)
    assert database.forget_usage(4) == 1
    assert (database.used("org"), database.used("org", 3)) == (100, 0)
    with pytest.raises(RefusedError):
        database.charge(Charge("small", 11, 10))


def test_a_full_quota_refuses_the_append(database: Database) -> None:
    append(database, LOG, "a", charges=(Charge("org", 8, 10),))
    with pytest.raises(RefusedError, match="quota"):
        append(database, LOG, "b", charges=(Charge("org", 8, 10),))
    assert assert_whole(database, LOG) == ("a",)


def test_a_quota_holds_among_threads(database: Database) -> None:
    def attempt(_: int) -> bool:
        try:
            database.charge(Charge("b", 1, 5), Charge("a", 1, 5))
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(16))) == 5
    assert (database.used("a"), database.used("b")) == (5, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Entry(b"short", b""),
        lambda: Append("nul\0", Frontier(), (), b"", 0),
        lambda: Append("", Frontier(), (), b"", 0),
        lambda: Append("log", Frontier(), (), b"", 1 << 63),
        lambda: Charge("é" * 128, 0, 0),
        lambda: Charge("a", -1, 0),
        lambda: Token(b"t" * 32, "line\nbreak", 0),
        lambda: Cosignature("lone \ud800", 0, b""),
    ],
)
def test_what_the_two_would_store_differently_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(StoreError, match="expected"):
        wrong()


def test_names_and_bytes_come_back_exactly(database: Database) -> None:
    name = "relay.example/ünï'\"%s?--;\\"
    every = Entry(bytes(range(32)), bytes(range(256)))
    database.append(step(name, Frontier(), every))
    assert database.logs() == (name,)
    assert database.entries(name, 0, 1, 999).entries == (every,)


@pytest.mark.parametrize(
    "url", ["mysql://x", "relay.db", "sqlite:relay.db", "sqlite://host/x", "postgresql://u:secret@h/d"]
)
def test_other_urls_are_refused_and_no_password_is_quoted(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_database(url)
    assert "secret" not in caught.value.message + caught.value.hint


def test_p24_a_backup_of_sqlite_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    database = open_database(f"sqlite://{tmp_path}/relay.db")
    assert "relay.db" in disk.names(tmp_path)
    append(database, LOG, "a")
    database.backup(tmp_path / "backup.db")
    assert disk.left(tmp_path / "backup.db") == (tmp_path / "backup.db").read_bytes() and disk.early == []
    database.close()


def test_p24_sqlite_syncs_each_commit_before_it_is_told(tmp_path: Path) -> None:
    """Only SQLite itself can say so: it calls the system directly. 2 is FULL; NORMAL would sync at some later time."""
    engine = SqliteEngine(tmp_path / "relay.db")
    with engine.transaction(write=False) as session:
        assert session.rows("PRAGMA synchronous") == [(2,)]
    engine.close()
