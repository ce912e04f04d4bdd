"""Blobs: ciphertext under its BLAKE3, in a folder or an S3-compatible store."""

import re
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from blake3 import blake3

from darklantern.errors import RefusedError, StoreError

CHUNK_BYTES: Final = 1024 * 1024
"""of what is read at once: to hand a part from a store's thread to the loop costs as much as reading a hundred KiB"""
_NAME: Final = re.compile(r"[0-9a-f]{64}")


class OtherBytesError(StoreError):
    """What was sent under a name is not what has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the blob {name[:8]}… has other bytes than its name says", hint="it was cut off or altered: send it again"
        )


class Blobs(Protocol):
    """Blobs by name. Safe from any thread and from several processes. Every method raises StoreError for a name that
    is no BLAKE3 in lower-case hexadecimal, and when the store cannot be used."""

    def put(self, name: str, chunks: Iterable[bytes], max_bytes: int) -> int:
        """Store what `chunks` give, and say how many bytes it was. There whole afterwards, or not at all.

        Raises RefusedError above `max_bytes`, OtherBytesError for others than the name says, and whatever `chunks`
        raises when an upload is cut off. One that is there already stays as it is. Holds a few MiB at most.
        """

    def size(self, name: str) -> int | None:
        """Bytes, or None when it is not here."""

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `stop` (None: the end), in pieces. Not verified: the reader knows the name.

        Raises StoreError when it is not here, or for a range that is not within it, before the first piece; and
        later when it was deleted meanwhile, or the store fails: so a reader counts what it got.
        """

    def delete(self, name: str) -> bool:
        """Drop it; False when it was not here."""

    def names(self) -> Iterator[str]:
        """All names, sorted."""

    def sweep(self, min_age_s: int) -> int:
        """Remove what uploads that were cut off left behind, if nothing was added for `min_age_s`; how many.

        Too small an age breaks uploads that are still going on.
        """

    def close(self) -> None:
        """Give back what is held."""


def check_blob_name(name: str) -> None:
    """Names come from peers: anything but a hash could point elsewhere. Raises StoreError."""
    if not _NAME.fullmatch(name):
        raise StoreError(f"expected the BLAKE3 of a blob, got {name[:80]!r}", hint="name it by 64 lower-case digits")


def checked(name: str, chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """The same chunks; raises at the end, or where they become too many, unless they are `name`'s."""
    hasher = blake3()
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > max_bytes:
            raise RefusedError(
                f"expected a blob of at most {max_bytes} bytes, got more", hint="cut it into pieces, as artifacts are"
            )
        hasher.update(chunk)
        yield chunk
    if hasher.hexdigest() != name:
        raise OtherBytesError(name)


def is_whole(blobs: Blobs, name: str) -> bool:
    """Whether the blob is here and undamaged. Reads all of it."""
    if blobs.size(name) is None:
        return False
    hasher = blake3()
    for chunk in blobs.read(name):
        hasher.update(chunk)
    return hasher.hexdigest() == name


def within(name: str, size: int | None, start: int, stop: int | None) -> tuple[int, int]:
    """The range that is meant. Raises StoreError unless it lies in a blob that is here."""
    if size is None:
        raise StoreError(f"the blob {name} is not here", hint="another relay may have it, or it was deleted")
    end = size if stop is None else stop
    if not 0 <= start <= end <= size:
        raise StoreError(f"expected a range within {size} bytes, got {start} to {end}", hint="ask for its size first")
    return start, end
