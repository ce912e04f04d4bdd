"""SQLite in a file: the default, for one machine. Any number of processes on it may share the file."""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from darklantern.errors import StoreError
from darklantern.files import cannot_write, partial_of, sync_folder
from darklantern.relay.stores.engine import ColumnType, Dialect, Row, Value
from darklantern.relay.stores.pool import Pool

_BUSY_S: Final = 30.0
"""How long one writer waits for another."""
_CONNECTIONS: Final = 8
_BACKUP_PAGES: Final = 1024
"""Pages of 4 KiB copied before writers get a turn."""


class SqliteEngine:
    """The database file at `path`, made when it is not there. Raises StoreError."""

    dialect: Final = Dialect(integer="INTEGER", bytes="BLOB", table=" STRICT", raw="", lock_schema="")

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # SQLite gives its journal the mode of the database; made by SQLite itself that would be the umask's.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            sync_folder(path.parent)
        except OSError as error:
            raise cannot_write(path, error) from error
        self._pool = Pool(self._connect, _CONNECTIONS)

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator["_Session"]:
        """See Engine. Writers take turns from the first statement on: a reader that became a writer could not wait."""
        with _refusing(self._path), self._pool.connection() as connection:
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield _Session(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def backup(self, path: Path) -> None:
        """See Engine. While it runs, relays go on reading and writing.

        A relay that is restored from it lacks what was appended since. It must take that from a mirror before it
        appends again: else it forks its logs.
        """
        if path.exists():
            raise StoreError(f"expected a new file for the backup, found {path}", hint="name one that is not there")
        partial = partial_of(path)
        try:
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with _refusing(partial), self._pool.connection() as source, closing(sqlite3.connect(partial)) as target:
                source.backup(target, pages=_BACKUP_PAGES, sleep=0.01)
                target.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
                if target.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                    raise StoreError("the backup is damaged", hint="check the disks of both, and do not trust it")
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            os.link(partial, path)  # unlike a rename, never replaces
            sync_folder(path.parent)
        except OSError as error:
            raise cannot_write(path, error) from error
        finally:
            partial.unlink(missing_ok=True)

    def close(self) -> None:
        """See Engine."""
        self._pool.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            mode = _write_ahead(connection)
            if mode != "wal":
                raise StoreError(
                    f"expected a disk on which SQLite can share memory, got journal mode {mode} for {self._path}",
                    hint="a network folder cannot; use a local disk, or PostgreSQL",
                )
            for pragma in (
                # With NORMAL a power cut may take back what was committed last. The checkpoint over it has been
                # shown by then, and the next append would fork the log.
                "synchronous = FULL",
                "foreign_keys = ON",
                "secure_delete = ON",
                "trusted_schema = OFF",
                "cell_size_check = ON",
            ):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection


def _write_ahead(connection: sqlite3.Connection) -> str:
    """The journal mode after asking for WAL. Where relays start at once SQLite refuses all but one without waiting."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return str(mode)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class _Session:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, *values: Value) -> Sequence[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()

    def change(self, statement: str, *values: Value) -> int:
        return self._connection.execute(statement, values).rowcount

    def insert(self, table: str, columns: Mapping[str, ColumnType], rows: Sequence[Row], conflict: str = "") -> int:
        marks = ",".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({','.join(columns)}) VALUES ({marks}) {conflict}"
        return self._connection.executemany(statement, rows).rowcount if rows else 0


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"cannot use {path}: {error}",
            hint="is the disk full or the folder read-only, or does another process hold it? Nothing was changed",
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path} is damaged, or not a relay's database: {error}",
            hint="restore it from a backup, and let it catch up with a mirror before it appends",
        ) from error
