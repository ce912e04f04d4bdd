"""One connection to one SQLCipher file, and SQLite's errors as ours.

In: a path and a raw key. Out: a connection with every setting that keeps plaintext off the disk. It knows no table.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlcipher3 import dbapi2 as sqlcipher

from darklantern.errors import StoreError

_PLAIN: Final = b"SQLite format 3\0"


def connect(path: Path, key: bytes) -> Any:
    """A connection to the database at `path` under the 32-byte `key`. It is used by one thread at a time."""
    connection = sqlcipher.connect(str(path), isolation_level=None, check_same_thread=False)
    try:
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
            "cache_size = -32768",  # KiB: each page that is read again is decrypted again
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()  # or it keeps the file locked for as long as the error is held
        raise
    return connection


def check_encrypted(connection: Any, path: Path) -> None:
    """That encryption really is on: a build without it would take the key in silence. Raises StoreError."""
    version = connection.execute("PRAGMA cipher_version").fetchone()
    with path.open("rb") as file:
        head = file.read(len(_PLAIN))
    if not version or not version[0] or head == _PLAIN or len(head) < len(_PLAIN):
        raise StoreError(
            f"{path} is not encrypted, or this SQLite cannot encrypt",
            hint="reinstall sqlcipher3; never put a plain database in its place",
        )


def check_whole(connection: Any, path: Path) -> None:
    """Every page's MAC, and the order of the pages. Raises StoreError."""
    damage = connection.execute("PRAGMA cipher_integrity_check").fetchall()
    if damage or connection.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
        raise damaged(path)


@contextmanager
def transaction(connection: Any) -> Iterator[None]:
    """All that the body writes, or none of it."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """SQLite's errors as StoreError. They quote no value and no key."""
    try:
        yield
    except sqlcipher.OperationalError as error:
        raise StoreError(
            f"cannot use {path}: {error}",
            hint="is the disk full or the folder read-only, or does another process hold it? Nothing was changed",
        ) from error
    except sqlcipher.DatabaseError as error:
        raise damaged(path) from error


def damaged(path: Path) -> StoreError:
    """What to raise for a file that is not what was written."""
    return StoreError(
        f"{path} is damaged, cut short, or not a database under this key",
        hint="restore it from a backup, or start anew and import a bundle: the logs bring the records back",
    )
