"""Files sealed to people rather than to a circle: what one would do with a stock age, by names that the network knows.

In: a file and recipients, or a sealed file and this device's key. Out: the other, as a new file that has no name before
all of it is written and verified. It says nothing of who sealed a file: only what stands in a circle is signed.
"""

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from darklantern.errors import StoreError
from darklantern.files import cannot_write, link_named, link_unnamed
from darklantern.sealing import Identity, Recipient
from darklantern.sealing.age import open_stream, seal_stream

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Progress = Callable[[int, int], None]
"""(bytes that were read, bytes in all)"""
File = Path | BinaryIO
"""A file by its path, or a stream."""

_READ = 1024 * 1024


def unheard(done: int, size: int) -> None:
    """Progress that nobody watches."""


def seal_to(source: File, target: File, recipients: Sequence[Recipient], progress: Progress) -> None:
    """`source` as the new age file `target`. Raises SealError or StoreError, and then there is no file.

    A stream in place of `target` is written as it comes: cut off, it is a file that does not open.
    """
    with _reading(source, target, progress) as file:
        sealed = seal_stream(iter(lambda: file.read(_READ), b""), recipients)
        if not isinstance(target, Path):
            pour(sealed, target)
        elif not link_unnamed(target, sealed):
            link_named(target, sealed)


def open_with(source: File, target: File, identities: Sequence[Identity], progress: Progress) -> None:
    """The age file `source`, opened as the new file `target`. Raises SealError or StoreError, and then there is none.

    Where no file can be without a name (outside Linux, or on NFS), and for a stream in place of `target`, all is
    verified first, then read once more. A stream in place of `source` goes through a file without a name, sealed.
    """
    with _reading(source, target, progress) as came, _again(came) as file:
        if isinstance(target, Path) and link_unnamed(target, open_stream(file, identities)):
            return
        file.seek(0)
        for _ in open_stream(file, identities):
            pass
        file.seek(0)
        plain = open_stream(file, identities)
        if isinstance(target, Path):
            link_named(target, plain)
        else:
            pour(plain, target)


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
def _reading(source: File, target: File, progress: Progress) -> Iterator[BinaryIO]:
    if isinstance(target, Path) and target.exists():
        raise StoreError(f"{target} is there already", hint="choose another name; nothing is overwritten")
    if not isinstance(source, Path):
        yield source
        return
    try:
        with source.open("rb", buffering=0) as file:
            yield io.BufferedReader(Told(file, progress), _READ)
    except BrokenPipeError:  # of whoever read the target
        raise
    except OSError as error:
        raise StoreError(f"cannot read {source}: {error.strerror}", hint="check the path and the disk") from error


@contextmanager
def _again(source: BinaryIO) -> Iterator[BinaryIO]:
    """The same bytes, to be read more than once. A pipe is kept, as it came, in a file that has no name."""
    if source.seekable():
        yield source
        return
    with tempfile.TemporaryFile() as kept:
        try:
            shutil.copyfileobj(source, kept, _READ)
        except OSError as error:
            raise cannot_write(Path(tempfile.gettempdir()), error) from error
        kept.seek(0)
        yield kept


def pour(chunks: Iterable[bytes], target: BinaryIO) -> None:
    """All chunks to a stream. Raises StoreError, and BrokenPipeError."""
    try:
        for chunk in chunks:
            target.write(chunk)
        target.flush()
    except BrokenPipeError:  # whoever read it wants no more
        raise
    except OSError as error:
        raise cannot_write(Path("stdout"), error) from error


class Told(io.RawIOBase):
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
