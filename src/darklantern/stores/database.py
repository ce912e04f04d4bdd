"""The encrypted database: SQLCipher under a raw key.

In: a path, a key, and changes as values. Out: contents as values. A change is one transaction. It
knows tables, and nothing of what the bytes in them mean.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from darklantern.errors import StoreError
from darklantern.stores import index, local, openings, schema
from darklantern.stores.connection import check_encrypted, check_whole, connect, damaged, refusing, transaction
from darklantern.stores.values import Change, Contents, Document, Waiting


class Database:
    """An open SQLCipher database. Used by one process, and by one thread at a time."""

    def __init__(self, connection: Any, path: Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    def create(cls, path: Path, key: bytes) -> "Database":
        """A new database at `path`, encrypted under the 32-byte `key`. Raises StoreError."""
        with refusing(path):
            connection = connect(path, key)
            with transaction(connection):
                schema.create(connection)
        check_encrypted(connection, path)
        return cls(connection, path)

    @classmethod
    def open(cls, path: Path, key: bytes) -> "Database":
        """The database at `path`. Raises StoreError for a wrong key, a damaged or a plaintext file, a newer version.

        Every page's MAC is checked, so a file that lost its end is found now and not in the middle of work. One of an
        older version is made one of this version, in one transaction.
        """
        if not path.is_file():
            raise StoreError(f"expected a database at {path}, found none", hint="is this the right folder?")
        if path.stat().st_size == 0:
            raise damaged(path)  # SQLite would take it for a new database
        with refusing(path):
            connection = connect(path, key)
        try:
            with refusing(path):
                check_encrypted(connection, path)
                check_whole(connection, path)
                with transaction(connection):
                    schema.migrate(connection)
        except BaseException:
            connection.close()
            raise
        return cls(connection, path)

    def read(self) -> Contents:
        """All of it but the index and the open-log."""
        with refusing(self._path):
            run = self._connection.execute
            entries: dict[str, tuple[bytes, ...]] = {}
            logs = [log for (log,) in run("SELECT DISTINCT log FROM entries")]
            for log in logs:
                rows = run("SELECT position, envelope FROM entries WHERE log = ? ORDER BY position", (log,)).fetchall()
                if [position for position, _ in rows] != list(range(len(rows))):
                    raise damaged(self._path)
                entries[log] = tuple(envelope for _, envelope in rows)
            return Contents(
                entries=entries,
                heads=dict(run("SELECT log, note FROM heads").fetchall()),
                outbox=tuple(Waiting(*row) for row in run("SELECT id, log, envelope FROM outbox ORDER BY ordinal")),
                secrets=dict(run("SELECT name, value FROM secrets").fetchall()),
                proofs=dict(run("SELECT log, value FROM proofs").fetchall()),
                settings=dict(run("SELECT name, value FROM settings").fetchall()),
                local=local.read(self._connection),
            )

    def write(self, change: Change) -> None:
        """Write `change` in one transaction. Raises StoreError, and then nothing was written."""
        if not change:
            return
        with refusing(self._path), transaction(self._connection):
            many = self._connection.executemany
            many("DELETE FROM entries WHERE log = ? AND position >= ?", change.shortened)
            many("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", change.entries)
            many("INSERT OR REPLACE INTO heads VALUES (?, ?)", change.heads.items())
            many("DELETE FROM outbox WHERE id = ?", [(sent,) for sent in change.sent])
            many(
                "INSERT INTO outbox VALUES (?, (SELECT coalesce(max(ordinal), 0) + 1 FROM outbox), ?, ?)",
                [(waiting.id, waiting.log, waiting.envelope) for waiting in change.outbox],
            )
            many("INSERT OR REPLACE INTO secrets VALUES (?, ?)", change.secrets.items())
            many("DELETE FROM secrets WHERE name = ?", [(name,) for name in change.erased])
            many("INSERT OR IGNORE INTO proofs VALUES (?, ?)", change.proofs.items())
            many("INSERT OR REPLACE INTO settings VALUES (?, ?)", change.settings.items())
            many("DELETE FROM settings WHERE name = ?", [(name,) for name in change.unset])
            local.write(self._connection, change.local)
            index.remove(self._connection, change.unindexed)
            index.add(self._connection, change.documents)

    def find(self, query: index.Query) -> tuple[index.Row, ...]:
        """The documents that fit, best first. Raises StoreError."""
        with refusing(self._path):
            return index.find(self._connection, query)

    def indexed(self) -> frozenset[str]:
        """The ids of all documents in the index. Raises StoreError."""
        with refusing(self._path):
            return index.indexed(self._connection)

    def reindex(self, documents: Iterable[Document]) -> None:
        """The index made anew of these documents alone, in one transaction. Raises StoreError."""
        with refusing(self._path), transaction(self._connection):
            index.clear(self._connection)
            index.add(self._connection, documents)
            self._connection.execute("DELETE FROM settings WHERE name = ?", (schema.STALE_INDEX,))

    def note_opening(self, what: str, act: str, time: int, entry: bytes, head: tuple[str, str]) -> None:
        """Put an entry at the end of the open-log, and what the log's end is now in a setting. Raises StoreError."""
        with refusing(self._path), transaction(self._connection):
            openings.append(self._connection, what, act, time, entry)
            self._connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", head)

    def latest_opening(self, what: str, act: str) -> int | None:
        """When this was last done with it. Raises StoreError."""
        with refusing(self._path):
            return openings.latest(self._connection, what, act)

    def openings(self) -> tuple[bytes, ...]:
        """All entries of the open-log, in order. Raises StoreError."""
        with refusing(self._path):
            return tuple(openings.entries(self._connection))

    def setting(self, name: str) -> str | None:
        """One setting as it is now. Raises StoreError."""
        with refusing(self._path):
            found = self._connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
            return found[0] if found else None

    def copy(self, path: Path, settings: Mapping[str, str], key: bytes | None = None) -> None:
        """A copy as of now at `path`, a new file under the same key or another, with these settings besides.

        Raises StoreError.
        """
        run = self._connection.execute
        with refusing(path):
            run("VACUUM INTO ?", (str(path),))
            run("ATTACH ? AS copy", (str(path),))  # without a key of its own it takes this one's
            try:
                self._connection.executemany("INSERT OR REPLACE INTO copy.settings VALUES (?, ?)", settings.items())
                if key is not None:
                    run(f"PRAGMA copy.rekey = \"x'{key.hex()}'\"")
            finally:
                run("DETACH copy")
        check_encrypted(self._connection, path)

    def check(self) -> None:
        """Read every page again. Raises StoreError for one that is damaged."""
        with refusing(self._path):
            check_whole(self._connection, self._path)

    def vacuum(self) -> int:
        """Give freed pages back to the disk: how many bytes that was. Raises StoreError."""
        before = self._path.stat().st_size
        with refusing(self._path):
            self._connection.execute("VACUUM")
        return before - self._path.stat().st_size

    def rekey(self, key: bytes) -> None:
        """Encrypt every page anew under another 32-byte key, in one transaction. Raises StoreError."""
        with refusing(self._path):
            self._connection.execute(f"PRAGMA rekey = \"x'{key.hex()}'\"")

    def close(self) -> None:
        """Close it. Nothing waits to be written."""
        self._connection.close()
