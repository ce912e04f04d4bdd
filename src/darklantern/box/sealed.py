"""What a box leaves behind, sealed with the project's own key: to look into it is to unseal, which is charged.

The key lies beside what it opens. It keeps nobody out who may read the project's folder; it keeps anybody from looking
by accident, and makes every look a line in the ledger.
"""

import io
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from darklantern.errors import BoxError, StoreError
from darklantern.files import cannot_write, replacing, write_whole
from darklantern.sealing import Identity, Recipient, open, seal
from darklantern.sealing.streams import Sealing, Unsealed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

KEY: Final = "key"
_AT_ONCE: Final = 2**20


def project_key(folder: Path) -> Identity:
    """The project's key, made where there is none. Raises StoreError or SealError."""
    path = folder / KEY
    try:
        if not path.exists():
            write_whole(path, Identity.generate().reveal().encode())
        return Identity.parse(path.read_text())
    except OSError as error:
        raise cannot_write(path, error) from error


def seal_bytes(data: bytes, path: Path, key: Identity) -> None:
    """Write what was printed, sealed. Raises StoreError."""
    write_whole(path, seal(data, [key.recipient]))


def unseal_bytes(path: Path, key: Identity) -> bytes:
    """What `seal_bytes` wrote. Raises StoreError or SealError."""
    try:
        return open(path.read_bytes(), [key])
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", hint="the run left none") from error


class TooLarge(Exception):
    """A folder has more in it than room was given."""


def seal_folder(folder: Path, path: Path, to: Recipient, room: int) -> None:
    """Write a folder, sealed, as so many bytes whatever is in it. Raises TooLarge where it does not fit.

    Only plain files, folders and links from a folder into itself go along: others are nobody's to follow.
    """
    with replacing(path) as file:
        sink = _Room(Sealing(file, [to]), room)
        with tarfile.open(fileobj=io.BufferedWriter(sink), mode="w|") as archive:
            archive.add(folder, arcname=".", filter=_plain)
        sink.fill()


class _Room(io.RawIOBase):
    """Takes so many bytes, and is filled up with zeros: an archive ends before them."""

    def __init__(self, sink: Sealing, room: int) -> None:
        self._sink, self._left = sink, room

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        size = len(memoryview(data))
        if size > self._left:
            raise TooLarge
        self._left -= size
        return self._sink.write(data)

    def fill(self) -> None:
        while self._left:
            self.write(bytes(min(self._left, _AT_ONCE)))
        self._sink.finish()


def unseal_folder(path: Path, folder: Path, key: Identity) -> None:
    """Put what `seal_folder` kept into a folder, for another box of the same project. Nothing in it is shown."""
    if not hasattr(tarfile, "data_filter"):
        raise BoxError("taking up a run needs Python 3.11.4 or newer", hint="which opens archives with a filter")
    try:
        with (
            path.open("rb") as file,
            tarfile.open(fileobj=io.BufferedReader(Unsealed(file, key)), mode="r|") as archive,
        ):
            archive.extractall(folder, filter="data")
    except (OSError, tarfile.TarError):  # whose words may be a box's
        raise BoxError(f"cannot take up {path}", hint="the file was damaged, or the disk is full") from None


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """A second name of a file goes along as such; opening allows no name outside the folder. No times, no owners."""
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    if member.issym():  # `latest`, which stays inside
        to = PurePosixPath(member.linkname)
        return None if to.is_absolute() or ".." in to.parts else member
    return member if member.isfile() or member.isdir() or member.islnk() else None
