"""A change is written whole or not at all."""

from pathlib import Path

import pytest

from darklantern.errors import StoreError
from darklantern.stores.database import Database
from darklantern.stores.values import Change, Contents, Waiting

KEY = bytes(range(32))


@pytest.fixture
def database(tmp_path: Path):
    database = Database.create(tmp_path / "db", KEY)
    yield database
    database.close()


def test_contents_are_the_sum_of_changes(database: Database, tmp_path: Path) -> None:
    database.write(Change(entries=(("a", 0, b"0"), ("a", 1, b"1"), ("b", 0, b"2")), heads={"a": b"old"}))
    database.write(Change(heads={"a": b"new"}, outbox=(Waiting("x", "a", b"x"), Waiting("y", "a", b"y"))))
    database.write(Change(entries=(("a", 1, b"better"),), sent=("x",), outbox=(Waiting("z", "b", b"z"),)))
    database.write(Change(secrets={"s": b"1"}, settings={"n": "v"}, proofs={"a": b"first"}))
    database.write(Change(proofs={"a": b"second"}))
    expected = Contents(
        entries={"a": (b"0", b"better"), "b": (b"2",)},
        heads={"a": b"new"},
        outbox=(Waiting("y", "a", b"y"), Waiting("z", "b", b"z")),
        secrets={"s": b"1"},
        proofs={"a": b"first"},
        settings={"n": "v"},
    )
    assert database.read() == expected
    database.close()
    again = Database.open(tmp_path / "db", KEY)
    assert again.read() == expected
    again.close()


def test_a_change_that_fails_in_its_middle_leaves_nothing(database: Database) -> None:
    database.write(Change(outbox=(Waiting("x", "a", b"x"),)))
    before = database.read()
    with pytest.raises(StoreError):
        database.write(Change(entries=(("a", 0, b"0"),), outbox=(Waiting("x", "a", b"twice"),)))
    assert database.read() == before
    database.write(Change(entries=(("a", 0, b"0"),)))
    assert database.read().entries == {"a": (b"0",)}


def test_an_empty_change_writes_nothing(database: Database, tmp_path: Path) -> None:
    before = (tmp_path / "db").read_bytes()
    database.write(Change())
    assert (tmp_path / "db").read_bytes() == before
    assert not Change() and Change(sent=("x",))


def test_entries_with_a_hole_are_damage(database: Database) -> None:
    database.write(Change(entries=(("a", 1, b"1"),)))
    with pytest.raises(StoreError, match="damaged"):
        database.read()


def test_another_key_opens_nothing(database: Database, tmp_path: Path) -> None:
    database.close()
    with pytest.raises(StoreError, match="not a database under this key"):
        Database.open(tmp_path / "db", bytes(32))


def test_a_plain_database_is_never_opened(tmp_path: Path) -> None:
    import sqlite3

    plain = sqlite3.connect(tmp_path / "plain")
    plain.execute("CREATE TABLE t (x)")
    plain.close()
    with pytest.raises(StoreError):
        Database.open(tmp_path / "plain", KEY)


def setting(database: Database, name: str) -> object:
    return database._connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_secure_delete_and_memory_temp_files_are_on(database: Database) -> None:
    assert (setting(database, "secure_delete"), setting(database, "temp_store")) == (1, 2)
    assert str(setting(database, "cipher_version")).startswith("4.")


def test_p24_a_commit_is_synced_with_the_name_of_its_journal_before_it_is_told(database: Database) -> None:
    """Only SQLite itself can say so: it calls the system directly. 3 is EXTRA."""
    assert (setting(database, "synchronous"), setting(database, "journal_mode")) == (3, "delete")


def test_no_key_or_value_in_an_error(database: Database, tmp_path: Path) -> None:
    database.close()
    with pytest.raises(StoreError) as caught:
        Database.open(tmp_path / "db", b"\x99" * 32)
    error: BaseException | None = caught.value
    while error:
        assert "99" * 8 not in repr(error) + str(error)
        error = error.__cause__
