"""Files that appear whole or not at all, readable by their owner only; and files of others, read with care.

In: a path and bytes, or chunks of them. Out: the file, synced, under its name; or an error, and no such name.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

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


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which becomes `path`, replacing what was there, when the `with` ends without an error.

    For what is too large for memory. Raises StoreError when the operating system refuses.
    """
    partial = partial_of(path)
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def write_unsynced(path: Path, data: bytes | memoryview) -> None:
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


def link_unnamed(path: Path, chunks: Iterable[bytes]) -> bool:
    """A new file `path` of all `chunks`, which has no name at all until the last is written and synced.

    So that neither an error nor a crash leaves a part of it. Never replaces a file. Returns False, having taken no
    chunk, where the system or the file system has no such files. Raises StoreError.
    """
    try:
        handle = os.open(path.parent, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except (AttributeError, OSError):  # macOS has no O_TMPFILE; a folder that cannot be written fails again by name
        return False
    with os.fdopen(handle, "wb") as file:
        try:
            proc = Path(f"/proc/self/fd/{handle}")
            if not proc.exists():
                return False
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(handle)
            folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # A folder's handle makes Python call linkat(2) with AT_SYMLINK_FOLLOW; without one it calls link(2).
                os.link(proc, path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise cannot_write(path, error) from error
    return True


def link_named(path: Path, chunks: Iterable[bytes]) -> None:
    """The same with a partial name beside `path`, which a crash may leave: only for what was verified before."""
    partial = partial_of(path)
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)  # unlike a rename, refuses to replace
        partial.unlink()
        sync_folder(path.parent)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def read_plain(path: Path, most: int) -> bytes:
    """The bytes of the plain file `path`. Raises OSError, also for what is none, or has more than `most` bytes.

    For what a peer or a crash may have made: a named pipe in its place would hold the reader for good, a device fill
    the memory.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        if about.st_size > most:
            raise OSError(errno.EFBIG, f"it has {about.st_size:,} bytes, at most {most:,} are read", str(path))
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(about.st_size)
    finally:
        os.close(handle)


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
