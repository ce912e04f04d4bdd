"""Pieces of trusted rows that probes are made of. All from trusted rows alone, drawn with a seed."""

from collections.abc import Sequence

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.rows import Bytes
from darklantern.watch.spans import LONGEST

_NEWLINE = 10


def contexts(trusted: Bytes, count: int, width: int, rng: np.random.Generator) -> list[bytes]:
    """`count` pieces of `width` bytes that end with the newline of a line that is not empty."""
    found = []
    for row in _shuffled(trusted, rng):
        end = row.find(b"\n", width - 1)
        if end >= 0 and row[end - 1 : end] != b"\n":
            found.append(row[end + 1 - width : end + 1])
        if len(found) == count:
            return found
    raise _scarce(f"{count} contexts of {width} bytes that end a line", len(found))


def broken_lines(trusted: Bytes, count: int, at: int, rng: np.random.Generator) -> list[bytes]:
    """`count` whole rows whose first newline past byte `at` comes soon, so that the next line stays in view."""
    room = trusted.shape[1] - 1 - LONGEST - 4
    if room < at + 2:
        raise WatchError(
            f"expected trusted rows of at least {at + LONGEST + 7} bytes, got {trusted.shape[1]}",
            hint="the probe inserts spans of up to 40 bytes and reads the line after them",
        )
    found = []
    for row in _shuffled(trusted, rng):
        if at + 2 <= row.find(b"\n", at) <= room:
            found.append(row)
        if len(found) == count:
            return found
    raise _scarce(f"{count} rows with a newline between bytes {at + 2} and {room}", len(found))


def lines(trusted: Bytes, lengths: Sequence[int], rng: np.random.Generator) -> list[bytes]:
    """Whole lines of trusted rows, stripped; each at least as long as asked, cut to that length."""
    pool = (line.strip() for row in _shuffled(trusted, rng) for line in row.split(b"\n")[1:-1])
    found: list[bytes] = []
    for line in pool:
        if len(line) >= lengths[len(found)]:
            found.append(line[: lengths[len(found)]])
        if len(found) == len(lengths):
            return found
    raise _scarce(f"{len(lengths)} lines of up to {max(lengths)} bytes", len(found))


def padded(texts: Sequence[bytes], like_rows: Bytes) -> Bytes:
    """Texts as rows of the width of `like_rows`, cut, or filled up with newlines."""
    width = like_rows.shape[1]
    return np.stack([np.frombuffer(text[:width].ljust(width, b"\n"), dtype=np.uint8) for text in texts])


def like(material: bytes, filler: bytes) -> bytes:
    """`filler` at the length of `material`, with newlines where it has them."""
    other = bytearray(cut(filler, len(material)))
    for i, byte in enumerate(material):
        if byte == _NEWLINE:
            other[i] = _NEWLINE
    return bytes(other)


def cut(text: bytes, length: int) -> bytes:
    """`text`, repeated if need be, cut to `length`."""
    return (text * (length // len(text) + 1))[:length]


def _shuffled(trusted: Bytes, rng: np.random.Generator) -> list[bytes]:
    return [trusted[i].tobytes() for i in rng.permutation(len(trusted))]


def _scarce(wanted: str, found: int) -> WatchError:
    return WatchError(f"trusted rows hold {found} of {wanted}", hint="give the watch more trusted rows, or longer ones")
