"""Blobs in a folder, spread over 256 subfolders. Any number of processes on one machine may share it."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from darklantern.errors import StoreError
from darklantern.files import PARTIAL, cannot_write, partial_of, sync_folder
from darklantern.relay.stores.blobs import CHUNK_BYTES, check_blob_name, checked, within


class FolderBlobs:
    """See Blobs. Makes `folder` when it is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._make(folder)

    def put(self, name: str, chunks: Iterable[bytes], max_bytes: int) -> int:
        """See Blobs. Synced with its name before it returns."""
        path = self._path(name)
        self._make(path.parent)
        partial = partial_of(path)
        try:
            file = _create(partial)
            with file:
                for chunk in checked(name, chunks, max_bytes):
                    _write(file, path, chunk)
                size = _finish(file, path)
            _publish(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        return size

    def size(self, name: str) -> int | None:
        """See Blobs."""
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _cannot_read(name, error) from error

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """See Blobs. One that is deleted meanwhile is read to its end."""
        begin, end = within(name, self.size(name), start, stop)
        return _pieces(self._path(name), begin, end)

    def delete(self, name: str) -> bool:
        """See Blobs."""
        path = self._path(name)
        try:
            path.unlink()
            sync_folder(path.parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise cannot_write(path, error) from error
        return True

    def names(self) -> Iterator[str]:
        """See Blobs."""
        for folder in sorted(self._folder.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.glob("[0-9a-f]*")):
                yield path.name

    def sweep(self, min_age_s: int) -> int:
        """See Blobs. Age by the file system's own times: a clock that was set meanwhile shifts it."""
        count = 0
        for path in self._folder.glob(f"??/.*{PARTIAL}"):
            with suppress(FileNotFoundError):  # its upload ended
                if time.time() - path.stat().st_mtime >= min_age_s:
                    path.unlink()
                    count += 1
        return count

    def close(self) -> None:
        """See Blobs. Nothing is held between calls."""

    def _path(self, name: str) -> Path:
        check_blob_name(name)
        return self._folder / name[:2] / name

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(folder.parent)
        except OSError as error:
            raise cannot_write(folder, error) from error


def _create(partial: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise cannot_write(partial, error) from error


def _write(file: BinaryIO, path: Path, chunk: bytes) -> None:
    """Apart from where chunks come from: an OSError of the uploader's socket is not the disk's."""
    try:
        file.write(chunk)
    except OSError as error:
        raise cannot_write(path, error) from error


def _finish(file: BinaryIO, path: Path) -> int:
    try:
        file.flush()
        os.fsync(file.fileno())
        return file.tell()
    except OSError as error:
        raise cannot_write(path, error) from error


def _publish(partial: Path, path: Path) -> None:
    """Give it its name. A link, unlike a rename, leaves alone what has that name."""
    try:
        with suppress(FileExistsError):
            os.link(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def _pieces(path: Path, begin: int, end: int) -> Iterator[bytes]:
    """Opens the file when the first piece is asked for: what is never begun leaves nothing open."""
    left = end - begin
    try:
        file = path.open("rb")
    except OSError as error:
        raise _cannot_read(path.name, error) from error
    with file:
        file.seek(begin)
        while left:
            try:
                chunk = file.read(min(CHUNK_BYTES, left))
            except OSError as error:
                raise _cannot_read(path.name, error) from error
            if not chunk:
                raise StoreError(f"the blob {path.name} became shorter while it was read", hint="check the disk")
            left -= len(chunk)
            yield chunk


def _cannot_read(name: str, error: OSError) -> StoreError:
    return StoreError(f"cannot read the blob {name}: {error.strerror or error}", hint="check the disk")
