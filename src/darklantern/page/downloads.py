"""Handing over an attachment: always as a file to save, never as something for the browser to show.

In: a stream that may turn out to be false only at its end, and a peer's name. Out: a stream that is never whole
unless it is true, and the header that names it.
"""

from collections.abc import Iterator
from urllib.parse import quote


def held_back(stream: Iterator[bytes]) -> Iterator[bytes]:
    """`stream`, with each part given when the next is there, and the last when the end has come.

    The end verifies the whole. Where it fails, the browser has fewer bytes than it was promised, and keeps nothing.
    """
    last = next(stream, b"")
    for part in stream:
        yield last
        last = part
    yield last


def disposition(name: str) -> str:
    """`Content-Disposition` for a file of that name (RFC 6266). The name is a safe one already."""
    plain = "".join(letter if letter.isascii() else "_" for letter in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
