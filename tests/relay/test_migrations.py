"""Schemas go forward, once, whoever opens first."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from darklantern.errors import StoreError
from darklantern.relay.stores import open_database
from darklantern.relay.stores.engine import Engine
from darklantern.relay.stores.postgres import PostgresEngine
from darklantern.relay.stores.schema import MIGRATIONS, migrate
from darklantern.relay.stores.sqlite import SqliteEngine

from .appending import append, assert_whole

LOG = "relay.example/circle"
NEXT = ("ALTER TABLE logs ADD COLUMN note {bytes}", "CREATE TABLE later (number {integer}){table}")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = (
        PostgresEngine(database_url)
        if database_url.startswith("postgresql")
        else SqliteEngine(Path(database_url.removeprefix("sqlite://")))
    )
    yield engine
    engine.close()


def test_a_migration_runs_once_and_keeps_what_is_there(engine: Engine, database_url: str) -> None:
    database = open_database(database_url)
    append(database, LOG, "a", "b")
    database.close()
    assert migrate(engine) == 0
    assert migrate(engine, (*MIGRATIONS, NEXT)) == 1
    assert migrate(engine, (*MIGRATIONS, NEXT)) == 0
    with engine.transaction(write=False) as session:
        assert session.rows("SELECT log, size, note FROM logs") == [(LOG, 2, None)]


def test_an_older_relay_refuses_a_newer_database(engine: Engine, database_url: str) -> None:
    migrate(engine, (*MIGRATIONS, NEXT))
    with pytest.raises(StoreError, match=f"version {len(MIGRATIONS)} or older, got {len(MIGRATIONS) + 1}"):
        open_database(database_url)


def test_a_migration_that_fails_changes_nothing(engine: Engine, database_url: str) -> None:
    with pytest.raises(StoreError):
        migrate(engine, (*MIGRATIONS, NEXT, ("NOT A STATEMENT",)))
    database = open_database(database_url)
    append(database, LOG, "a")
    assert assert_whole(database, LOG) == ("a",)
    database.close()


def test_relays_that_start_at_once_migrate_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        databases = list(threads.map(open_database, [database_url] * 4))
    append(databases[0], LOG, "a")
    for database in databases:
        assert assert_whole(database, LOG) == ("a",)
        database.close()
