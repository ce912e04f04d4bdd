"""A database of an older version is made one of this version, or nothing is changed; a newer one is refused."""

from pathlib import Path

import pytest

from darklantern.errors import StoreError
from darklantern.stores import schema
from darklantern.stores.connection import connect
from darklantern.stores.database import Database
from darklantern.stores.index import Query
from darklantern.stores.values import Change, Document, Waiting

KEY = bytes(range(32))
# As version 1 wrote it, and never to be changed here.
VERSION_1 = """
BEGIN;
CREATE TABLE entries (log TEXT NOT NULL, position INTEGER NOT NULL, envelope BLOB NOT NULL,
                      PRIMARY KEY (log, position)) STRICT, WITHOUT ROWID;
CREATE TABLE heads (log TEXT PRIMARY KEY, note BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE outbox (id TEXT PRIMARY KEY, ordinal INTEGER NOT NULL UNIQUE, log TEXT NOT NULL,
                     envelope BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE proofs (log TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO entries VALUES ('a', 0, x'00'), ('a', 1, x'01');
INSERT INTO heads VALUES ('a', x'02');
INSERT INTO outbox VALUES ('w', 1, 'a', x'03');
INSERT INTO secrets VALUES ('s', x'04');
INSERT INTO proofs VALUES ('a', x'05');
INSERT INTO settings VALUES ('net', 'n');
PRAGMA user_version = 1;
COMMIT;
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    connection = connect(tmp_path / "db", KEY)
    connection.executescript(VERSION_1)
    connection.close()
    return tmp_path / "db"


def tables(path: Path) -> dict[str, str]:
    connection = connect(path, KEY)
    found = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return dict(found)


def test_version_1_is_carried_over_whole_and_its_index_is_stale(old: Path, tmp_path: Path) -> None:
    database = Database.open(old, KEY)
    contents = database.read()
    assert contents.entries == {"a": (b"\0", b"\1")} and contents.heads == {"a": b"\2"}
    assert contents.outbox == (Waiting("w", "a", b"\3"),)
    assert contents.secrets == {"s": b"\4"} and contents.proofs == {"a": b"\5"}
    assert contents.settings == {"net": "n", schema.STALE_INDEX: "yes"}
    database.write(Change(documents=(document("x"),)))
    assert [row.id for row in database.find(Query('"word"'))] == ["x"]
    database.close()
    Database.create(tmp_path / "new", KEY).close()
    normal = {name: " ".join(text.split()) for name, text in tables(tmp_path / "new").items()}
    assert {name: " ".join(text.split()) for name, text in tables(old).items()} == normal


def test_a_migration_that_fails_in_its_middle_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tables(old)
    first, (*second, _), *later = schema._STEPS
    monkeypatch.setattr(schema, "_STEPS", (first, (*second, "no such statement"), *later))
    with pytest.raises(StoreError):
        Database.open(old, KEY)
    assert tables(old) == before
    monkeypatch.undo()
    Database.open(old, KEY).close()


@pytest.mark.parametrize("version", [0, schema.VERSION + 1, -1])
def test_a_version_that_is_not_known_is_refused(old: Path, version: int) -> None:
    connection = connect(old, KEY)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    before = old.read_bytes()
    with pytest.raises(StoreError, match=f"version 1 to {schema.VERSION}, got {version}") as caught:
        Database.open(old, KEY)
    assert "newer darklantern" in caught.value.hint and old.read_bytes() == before


def document(id: str, **changes: object) -> Document:
    values = {"item": id, "circle": "c", "kind": "item", "org": "Aurora", "person": "ada", "time": "2026", "title": ""}
    return Document(id=id, body="a word", **(values | changes))  # type: ignore[arg-type]
