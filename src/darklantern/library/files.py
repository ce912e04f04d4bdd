"""Files sealed to people rather than to a circle: what one would do with a stock age, by names that the network knows.

In: a file and recipients, or a sealed file and this device's key. Out: the other, as a new file that has no name before
all of it is written and verified. It says nothing of who sealed a file: only what stands in a circle is signed.
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from darklantern.errors import StoreError
from darklantern.files import link_named, link_unnamed
from darklantern.sealing import Identity, Recipient
from darklantern.sealing.age import open_stream, seal_stream

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Progress = Callable[[int, int], None]
"""(bytes that were read, bytes in all)"""

_READ = 1024 * 1024


def seal_to(source: Path, target: Path, recipients: Sequence[Recipient], progress: Progress) -> None:
    """`source` as the new age file `target`. Raises SealError or StoreError, and then there is no file."""
    with _reading(source, target, progress) as file:
        sealed = seal_stream(iter(lambda: file.read(_READ), b""), recipients)
        if not link_unnamed(target, sealed):
            link_named(target, sealed)


def open_with(source: Path, target: Path, identity: Identity, progress: Progress) -> None:
    """The age file `source`, opened as the new file `target`. Raises SealError or StoreError, and then there is none.

    Where no file can be without a name (outside Linux, or on NFS), all is verified first, then read once more.
    """
    with _reading(source, target, progress) as file:
        if not link_unnamed(target, open_stream(file, [identity])):
            file.seek(0)
            for _ in open_stream(file, [identity]):
                pass
            file.seek(0)
            link_named(target, open_stream(file, [identity]))


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes. Raises StoreError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}", hint="expected a file there: check the path"
        ) from error


@contextmanager
def _reading(source: Path, target: Path, progress: Progress) -> Iterator[BinaryIO]:
    if target.exists():
        raise StoreError(f"{target} is there already", hint="choose another name; nothing is overwritten")
    try:
        with source.open("rb", buffering=0) as file:
            yield io.BufferedReader(_Told(file, progress), _READ)
    except OSError as error:
        raise StoreError(f"cannot read {source}: {error.strerror}", hint="check the path and the disk") from error


class _Told(io.RawIOBase):
    """A file that says how far it was read."""

    def __init__(self, file: io.FileIO, progress: Progress) -> None:
        self._file, self._progress, self._size = file, progress, os.fstat(file.fileno()).st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(place, whence)

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        got = self._file.readinto(buffer)
        self._progress(self._file.tell(), self._size)
        return got
