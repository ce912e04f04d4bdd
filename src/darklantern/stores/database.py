"""The encrypted database: SQLCipher under a raw key.

In: a path, a key, and changes as values. Out: contents as values. A change is one transaction. It
knows tables, and nothing of what the bytes in them mean.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlcipher3 import dbapi2 as sqlcipher

from darklantern.errors import StoreError

_PLAIN: Final = b"SQLite format 3\0"
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE entries (log TEXT NOT NULL, position INTEGER NOT NULL, envelope BLOB NOT NULL,
                      PRIMARY KEY (log, position)) STRICT, WITHOUT ROWID;
CREATE TABLE heads (log TEXT PRIMARY KEY, note BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE outbox (id TEXT PRIMARY KEY, ordinal INTEGER NOT NULL UNIQUE, log TEXT NOT NULL,
                     envelope BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE proofs (log TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE local (part TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
                    PRIMARY KEY (part, name)) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Waiting:
    """A record that waits for the keeper of its log."""

    id: str
    log: str
    envelope: bytes


@dataclass(frozen=True, repr=False)
class Contents:
    """All that the database holds. Secret: it does not print."""

    entries: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    """log → envelopes in order"""
    heads: Mapping[str, bytes] = field(default_factory=dict)
    """log → signed note"""
    outbox: tuple[Waiting, ...] = ()
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    proofs: Mapping[str, bytes] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    """part → name → value: what this device keeps for itself and no log holds"""


@dataclass(frozen=True, repr=False)
class Change:
    """What to write, all of it or none. Secret: it does not print."""

    entries: tuple[tuple[str, int, bytes], ...] = ()
    """(log, position, envelope)"""
    heads: Mapping[str, bytes] = field(default_factory=dict)
    outbox: tuple[Waiting, ...] = ()
    sent: tuple[str, ...] = ()
    """ids that leave the outbox"""
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    proofs: Mapping[str, bytes] = field(default_factory=dict)
    """the first proof for a log stays"""
    settings: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[tuple[str, str, bytes | None], ...] = ()
    """(part, name, value); None removes it"""

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return any(
            (self.entries, self.heads, self.outbox, self.sent, self.secrets, self.proofs, self.settings, self.rows),
        )


class Database:
    """An open SQLCipher database. Used by one thread of one process at a time."""

    def __init__(self, connection: Any, path: Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    def create(cls, path: Path, key: bytes) -> "Database":
        """A new database at `path`, encrypted under the 32-byte `key`. Raises StoreError."""
        with _refusing(path):
            database = cls(_connect(path, key), path)
            database._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        database._check_encrypted()
        return database

    @classmethod
    def open(cls, path: Path, key: bytes) -> "Database":
        """The database at `path`. Raises StoreError for a wrong key, a damaged or a plaintext file.

        Every page's MAC is checked, so a file that lost its end is found now and not in the middle of work.
        """
        if not path.is_file():
            raise StoreError(f"expected a database at {path}, found none", hint="is this the right folder?")
        if path.stat().st_size == 0:
            raise _damaged(path)  # SQLite would take it for a new database
        with _refusing(path):
            database = cls(_connect(path, key), path)
        try:
            database._check_whole()
        except BaseException:
            database.close()
            raise
        return database

    def read(self) -> Contents:
        """All of it."""
        with _refusing(self._path):
            run = self._connection.execute
            entries: dict[str, tuple[bytes, ...]] = {}
            logs = [log for (log,) in run("SELECT DISTINCT log FROM entries")]
            for log in logs:
                rows = run("SELECT position, envelope FROM entries WHERE log = ? ORDER BY position", (log,)).fetchall()
                if [position for position, _ in rows] != list(range(len(rows))):
                    raise _damaged(self._path)
                entries[log] = tuple(envelope for _, envelope in rows)
            return Contents(
                entries=entries,
                heads=dict(run("SELECT log, note FROM heads").fetchall()),
                outbox=tuple(Waiting(*row) for row in run("SELECT id, log, envelope FROM outbox ORDER BY ordinal")),
                secrets=dict(run("SELECT name, value FROM secrets").fetchall()),
                proofs=dict(run("SELECT log, value FROM proofs").fetchall()),
                settings=dict(run("SELECT name, value FROM settings").fetchall()),
                rows=self._local(),
            )

    def write(self, change: Change) -> None:
        """Write `change` in one transaction. Raises StoreError, and then nothing was written."""
        if not change:
            return
        with _refusing(self._path), self._transaction():
            many = self._connection.executemany
            many("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", change.entries)
            many("INSERT OR REPLACE INTO heads VALUES (?, ?)", change.heads.items())
            many("DELETE FROM outbox WHERE id = ?", [(sent,) for sent in change.sent])
            many(
                "INSERT INTO outbox VALUES (?, (SELECT coalesce(max(ordinal), 0) + 1 FROM outbox), ?, ?)",
                [(waiting.id, waiting.log, waiting.envelope) for waiting in change.outbox],
            )
            many("INSERT OR REPLACE INTO secrets VALUES (?, ?)", change.secrets.items())
            many("INSERT OR IGNORE INTO proofs VALUES (?, ?)", change.proofs.items())
            many("INSERT OR REPLACE INTO settings VALUES (?, ?)", change.settings.items())
            many("INSERT OR REPLACE INTO local VALUES (?, ?, ?)", [row for row in change.rows if row[2] is not None])
            many("DELETE FROM local WHERE part = ? AND name = ?", [row[:2] for row in change.rows if row[2] is None])

    def close(self) -> None:
        """Close it. Nothing waits to be written."""
        self._connection.close()

    def _local(self) -> dict[str, dict[str, bytes]]:
        rows: dict[str, dict[str, bytes]] = {}
        for part, name, value in self._connection.execute("SELECT part, name, value FROM local"):
            rows.setdefault(part, {})[name] = value
        return rows

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _check_whole(self) -> None:
        path = self._path
        with _refusing(path):
            self._check_encrypted()
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version != _VERSION:
                raise StoreError(
                    f"expected a database of version {_VERSION}, got {version}",
                    hint="a newer darklantern may have written it",
                )
            damage = self._connection.execute("PRAGMA cipher_integrity_check").fetchall()
            if damage or self._connection.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
                raise _damaged(path)

    def _check_encrypted(self) -> None:
        """That encryption really is on: a build without it would take the key in silence."""
        version = self._connection.execute("PRAGMA cipher_version").fetchone()
        with self._path.open("rb") as file:
            head = file.read(len(_PLAIN))
        if not version or not version[0] or head == _PLAIN or len(head) < len(_PLAIN):
            raise StoreError(
                f"{self._path} is not encrypted, or this SQLite cannot encrypt",
                hint="reinstall sqlcipher3; never put a plain database in its place",
            )


def _connect(path: Path, key: bytes) -> Any:
    connection = sqlcipher.connect(str(path), isolation_level=None)
    # The raw key comes first: whatever reads the file before it would fix another one.
    connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
    for pragma in (
        "cipher_log_level = NONE",  # it would print page errors on the user's terminal
        "temp_store = MEMORY",
        "locking_mode = EXCLUSIVE",
        "journal_mode = DELETE",
        "synchronous = EXTRA",
        "secure_delete = ON",
        "trusted_schema = OFF",
        "cell_size_check = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """SQLite's errors as ours. They quote no value and no key."""
    try:
        yield
    except sqlcipher.OperationalError as error:
        raise StoreError(
            f"cannot use {path}: {error}",
            hint="is the disk full or the folder read-only, or does another process hold it? Nothing was changed",
        ) from error
    except sqlcipher.DatabaseError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"{path} is damaged, cut short, or not a database under this key",
        hint="restore it from a backup, or start anew and import a bundle: the logs bring the records back",
    )
