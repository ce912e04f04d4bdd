"""Files that appear whole or not at all, readable by their owner only.

In: a path and bytes. Out: the file, synced, under its name; or an error, and no such name.
"""

import os
import secrets
from pathlib import Path

from darklantern.errors import StoreError

PARTIAL = ".partial"
"""Suffix of what was being written; whatever bears it after a crash is rubbish."""


def write_whole(path: Path, data: bytes) -> None:
    """`data` as the file `path`, replacing what was there. Raises StoreError."""
    write_unsynced(path, data)
    try:
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_unsynced(path: Path, data: bytes) -> None:
    """The same, but the name survives a power cut only after `sync_folder`: for many files in one folder."""
    partial = partial_of(path)
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def partial_of(path: Path) -> Path:
    """A name beside `path` for what is not finished."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot_write(path: Path, error: OSError) -> StoreError:
    """What to raise when the operating system refuses a write."""
    return StoreError(
        f"cannot write {path}: {error.strerror or error}",
        hint="is the disk full, the quota used up or the folder read-only? Nothing was changed",
    )
