"""Pieces on their way in: begun by a relay and gone on with later, or of a bundle that is not judged yet.

In: bytes as they come. Out: whole pieces, verified, handed to `Blobs`; or nothing. What a crash leaves of a relay's
piece is where the next sync goes on; what it leaves of a bundle is swept.
"""

import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

from blake3 import blake3

from darklantern.files import PARTIAL, cannot_write, partial_of
from darklantern.stores.blobs import Blobs, Written

_READ: Final = 1024 * 1024


class Incoming:
    """The folder of what has not come in whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def piece(self, name: str, limit: int) -> Iterator["Begun"]:
        """The piece of that name, as far as it is here; at most `limit` bytes. What came in stays for the next time."""
        begun = Begun(self._made() / name, name, limit)
        try:
            yield begun
        finally:
            begun.close()

    def staged(self) -> "Staged":
        """A place for the pieces of one bundle, gone when the `with` ends."""
        return Staged(partial_of(self._made() / "bundle"))

    def keep(self, names: Collection[str]) -> None:
        """Remove the beginnings of all other pieces: nothing asks for them any more."""
        for path in self._folder.glob("*"):
            if path.name not in names and path.is_file():
                path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a crash left of a bundle."""
        for folder in self._folder.glob(f".bundle*{PARTIAL}"):
            shutil.rmtree(folder, ignore_errors=True)

    def begun(self) -> dict[str, int]:
        """The pieces of which a beginning is here, and its bytes."""
        found = (path for path in self._folder.glob("[0-9a-f]*") if path.is_file())
        return {path.name: path.stat().st_size for path in found}

    def discard(self, names: Iterable[str]) -> None:
        """Remove beginnings that nobody will go on with."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _made(self) -> Path:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise cannot_write(self._folder, error) from error
        return self._folder


class Begun:
    """A piece of which a beginning may be here."""

    def __init__(self, path: Path, name: str, limit: int) -> None:
        self.name = name
        self.size = 0
        """bytes that are here"""
        self._path, self._limit, self._hash, self._overlong = path, limit, blake3(), False
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            while data := os.read(self._handle, _READ):
                self._hash.update(data)
                self.size += len(data)
        except OSError as error:
            raise cannot_write(path, error) from error

    def take(self, data: memoryview) -> None:
        """The next bytes. What is more than a piece has is not kept, and then `finish` says no. Raises StoreError."""
        if self.size + len(data) > self._limit:
            self._overlong = True
            return
        self._hash.update(data)
        try:
            at = 0
            while at < len(data):
                at += os.write(self._handle, data[at:])
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self.size += len(data)

    def finish(self, blobs: Blobs) -> bool:
        """Hand the piece over, synced; False, and nothing of it stays, when it has other bytes than its name says."""
        if self._overlong or self._hash.hexdigest() != self.name:
            self.forget()
            return False
        try:
            os.fsync(self._handle)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        blobs.adopt(self.name, self._path)
        return True

    def forget(self) -> None:
        """Remove what is here of it."""
        self._path.unlink(missing_ok=True)
        self.size, self._hash = 0, blake3()

    def close(self) -> None:
        """Let go of the file; an empty one goes."""
        os.close(self._handle)
        if not self.size:
            self._path.unlink(missing_ok=True)


class Staged:
    """Pieces of one bundle, whole and under their own names, of which nothing is known yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names: set[str] = set()

    def __enter__(self) -> "Staged":
        try:
            self._folder.mkdir(mode=0o700)
        except OSError as error:
            raise cannot_write(self._folder, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, name: str, data: bytes | memoryview) -> None:
        """Keep a piece whose name was computed from `data`. Raises StoreError."""
        path = self._folder / name
        try:
            with open(path, "wb", opener=_private) as file:
                file.write(data)
        except OSError as error:
            raise cannot_write(path, error) from error
        self.names.add(name)

    def given(self, names: Iterable[str], blobs: Blobs) -> Written:
        """Hand these pieces to `blobs`, all of them or none. Raises StoreError."""
        moved: list[str] = []
        try:
            for name in names:
                self._sync(self._folder / name)
                blobs.adopt(name, self._folder / name)
                moved.append(name)
            blobs.settle(moved)
        except BaseException:
            blobs.discard(moved)
            raise
        return Written(lambda: blobs.discard(moved))

    @staticmethod
    def _sync(path: Path) -> None:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise cannot_write(path, error) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
