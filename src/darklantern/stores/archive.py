"""A vault as one stream of bytes: a tar file of exactly the files that a vault has, and of nothing else.

In: names, sizes and bytes. Out: a plain tar, which any tar unpacks to a vault's folder; or, the other way, those files
again. Whatever was not written here is refused: another name, a link, a date, a padding that is not zeros, more behind
the end. Whether the files belong together is judged by whoever opens them.
"""

import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, NoReturn

from darklantern.errors import StoreError

HEADER: Final = "header.json"
MAGIC: Final = f"{HEADER}\0".encode()
"""How each begins."""
DATABASE: Final = "library.db"
BLOBS: Final = "blobs"

_BLOCK: Final = 512
_CHUNK: Final = 1024 * 1024
_PIECE: Final = re.compile(rf"{BLOBS}/([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})")
_MOST: Final = {HEADER: 4096, DATABASE: 1 << 62}
_MOST_PIECE: Final = 4 * 1024 * 1024


@dataclass(frozen=True)
class Member:
    """One file. Its chunks are taken once, in order, and before the next member."""

    name: str
    size: int
    chunks: Iterable[bytes]

    @property
    def piece(self) -> str | None:
        """The name of the piece that it holds, or None."""
        found = _PIECE.fullmatch(self.name)
        return found[2] if found else None


def piece_path(name: str) -> str:
    """Where a piece lies in a vault's folder."""
    return f"{BLOBS}/{name[:2]}/{name}"


def pack(members: Iterable[Member]) -> Iterator[bytes]:
    """The stream of these files. Raises StoreError for one that is not as long as it was said to be."""
    for member in members:
        yield _head(member.name, member.size)
        written = 0
        for chunk in member.chunks:
            written += len(chunk)
            yield chunk
        if written != member.size:
            raise StoreError(
                f"{member.name} has {written} bytes, and had {member.size} a moment ago",
                hint="does another program write in the library's folder? Make the backup again",
            )
        yield bytes(-member.size % _BLOCK)
    yield bytes(2 * _BLOCK)


def unpack(source: BinaryIO) -> Iterator[Member]:
    """The files in a stream. Raises StoreError for anything that `pack` does not write."""
    while True:
        head = _read(source, _BLOCK)
        if head == bytes(_BLOCK):
            break
        name = head[:100].rstrip(b"\0").decode("ascii", "replace")
        size = _size(head[124:136])
        piece = _PIECE.fullmatch(name)
        most = _MOST.get(name, _MOST_PIECE if piece else -1)
        if not 0 <= size <= most or head != _head(name, size):
            _refuse(f"header.json, library.db or a piece in blobs/, got {_shown(name, size)}")
        left = [size]
        yield Member(name, size, _chunks(source, left))
        if left[0] or _read(source, -size % _BLOCK).strip(b"\0"):
            _refuse("each file read to its end, and zeros behind it")
    if _read(source, _BLOCK) != bytes(_BLOCK) or source.read(1):
        _refuse("two blocks of zeros at the end, and nothing behind them")


def _chunks(source: BinaryIO, left: list[int]) -> Iterator[bytes]:
    while left[0]:
        chunk = _read(source, min(left[0], _CHUNK))
        left[0] -= len(chunk)
        yield chunk


def _head(name: str, size: int) -> bytes:
    """The one header that a file may have: its owner, its date and its mode say nothing."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.GNU_FORMAT)


def _size(text: bytes) -> int:
    """Octal digits, or binary behind a byte 0x80 for what is larger than 8 GiB. -1 for anything else."""
    if text[:1] == b"\x80":
        return int.from_bytes(text[1:], "big")
    digits = text.rstrip(b"\0")
    return int(digits, 8) if re.fullmatch(rb"[0-7]{1,11}", digits) else -1


def _shown(name: str, size: int) -> str:
    """What came, for people: a file that is no tar has bytes of anything where the name would be."""
    return f"{name!a} of {size:,} bytes" if size >= 0 and name.isprintable() else "something that is no file's header"


def _read(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    while len(data) < size and (more := source.read(size - len(data))):
        data += more
    if len(data) != size:
        _refuse(f"{size} more bytes, got the end after {len(data)}")
    return data


def _refuse(expected: str) -> NoReturn:
    raise StoreError(
        f"backup: expected {expected}",
        hint="the file is cut, altered or no backup of a library; nothing was restored from it",
    )
