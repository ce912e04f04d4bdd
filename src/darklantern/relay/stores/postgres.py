"""PostgreSQL by URL: for relays on several machines. Needs the extra `relay`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import psycopg
from psycopg.conninfo import conninfo_to_dict

from darklantern.errors import StoreError
from darklantern.relay.stores.engine import ColumnType, Dialect, Row, Value
from darklantern.relay.stores.pool import Pool

_CONNECTIONS: Final = 8
_CONNECT_S: Final = 10
_BUSY_S: Final = 30
"""How long one writer waits for another, and the longest that one may say nothing within a transaction."""
_ARRAYS: Final = {"text": "text[]", "integer": "bigint[]", "bytes": "bytea[]"}
_LOCK_KEY: Final = 0x6461726B  # "dark": advisory locks share one number space per database


class PostgresEngine:
    """The database at `url`, which exists and is empty or a relay's. Raises StoreError, which never quotes the URL."""

    dialect: Final = Dialect(
        integer="BIGINT",
        bytes="BYTEA",
        table="",
        raw="ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL, SET (toast_tuple_target = 8160)",
        lock_schema=f"SELECT pg_advisory_xact_lock({_LOCK_KEY})",
    )

    def __init__(self, url: str) -> None:
        with _refusing():
            if conninfo_to_dict(url).get("password"):
                raise StoreError(
                    "expected a database URL without a password, got one with it",
                    hint="put it into a password file (PGPASSFILE, ~/.pgpass): URLs end up in process lists",
                )
        self._url = url
        self._pool = Pool(self._connect, _CONNECTIONS)

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator["_Session"]:
        """See Engine. READ COMMITTED: what an UPDATE compares, it compares again once it has the row's lock."""
        with _refusing(), self._pool.connection() as connection:
            connection.execute("BEGIN READ WRITE" if write else "BEGIN READ ONLY")
            try:
                yield _Session(connection)
                connection.execute("COMMIT")
            except BaseException:
                if not connection.closed:
                    connection.rollback()
                raise

    def backup(self, path: Path) -> NoReturn:
        """Always raises StoreError: the server's own tools are better at it."""
        raise StoreError(
            f"expected a SQLite database to copy to {path}, this relay has PostgreSQL",
            hint="run pg_dump --format=custom, which also works while relays run",
        )

    def close(self) -> None:
        """See Engine."""
        self._pool.close()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        # A server may be set to answer before a commit is on disk: a crash would take back what a shown checkpoint
        # covers, and the next append would fork the log.
        connection = psycopg.connect(self._url, autocommit=True, connect_timeout=_CONNECT_S)
        try:
            connection.execute("SET synchronous_commit = on")
            # A relay that stops in the middle must not keep the others from a log's row for ever.
            connection.execute(f"SET lock_timeout = '{_BUSY_S}s'")
            connection.execute(f"SET idle_in_transaction_session_timeout = '{_BUSY_S}s'")
            connection.execute("SET client_min_messages = warning")
        except BaseException:
            connection.close()
            raise
        return connection


class _Session:
    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def rows(self, statement: str, *values: Value) -> Sequence[tuple[Any, ...]]:
        return self._connection.execute(_placed(statement), values).fetchall()

    def change(self, statement: str, *values: Value) -> int:
        return self._connection.execute(_placed(statement), values).rowcount

    def insert(self, table: str, columns: Mapping[str, ColumnType], rows: Sequence[Row], conflict: str = "") -> int:
        if not rows:
            return 0
        # One statement and one array for each column: a fifth of the time that a statement for each row takes.
        arrays = ",".join(f"%b::{_ARRAYS[kind]}" for kind in columns.values())
        statement = f"INSERT INTO {table} ({','.join(columns)}) SELECT * FROM unnest({arrays}) {conflict}"
        columns_of = [list(column) for column in zip(*rows, strict=True)]
        return self._connection.execute(statement.encode(), columns_of).rowcount


def _placed(statement: str) -> bytes:
    """psycopg's sign for a value. No statement of ours has a question mark or percent sign in a literal."""
    return statement.replace("?", "%s").encode()


@contextmanager
def _refusing() -> Iterator[None]:
    """psycopg's errors as ours."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise StoreError(
            f"cannot use the PostgreSQL database: {_said(error)}",
            hint="is the server up, the password file right, its disk full? Read again what was being written",
        ) from error
    except psycopg.Error as error:
        raise StoreError(
            f"the PostgreSQL database refused: {_said(error)}",
            hint="is it a relay's database, and may this user make tables in it?",
        ) from error


def _said(error: psycopg.Error) -> str:
    """The server's main line; its DETAIL may quote values."""
    return error.diag.message_primary or type(error).__name__
