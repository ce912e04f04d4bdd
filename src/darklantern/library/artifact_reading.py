"""Reading a sealed artifact piece by piece: as a stream, a range of it, into a file, or only to check it.

In: a SealedArtifact, and a way to get its pieces one at a time. Out: plaintext, of which only a few
pieces' worth is in memory at once. An error names the piece that is missing or altered.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from darklantern.errors import SealError, StoreError
from darklantern.files import link_named, link_unnamed
from darklantern.library.files import File, Progress, pour, unheard
from darklantern.network.cutting import opened_cutting
from darklantern.network.items import PIECE, SealedArtifact
from darklantern.sealing.payload import CHUNK

Get = Callable[[str], bytes | None]
"""The name of a piece → its bytes, checked against the name (StoreError), or None when it is not here: `Blobs.get`"""


class ArtifactReader:
    """One sealed artifact whose pieces `get` finds. Raises SealError when the first is missing or does not open."""

    def __init__(self, artifact: SealedArtifact, get: Get) -> None:
        self._artifact = artifact
        self._get = get
        self._cutting, self._cipher = opened_cutting(artifact, self._fetched(0))

    def stream(self) -> Iterator[bytes]:
        """All of the artifact in order. Raises SealError, maybe only after the last byte: act on nothing before."""
        artifact, whole, at = self._artifact, hashlib.sha256(), 0
        for chunk in self._chunks(range(self._cutting.layout.chunks)):
            data = chunk[: max(0, artifact.size - at)]
            if chunk[len(data) :].strip(b"\0"):
                raise self._other_bytes()
            at += len(chunk)
            whole.update(data)
            if data:
                yield data
        if whole.hexdigest() != artifact.sha256:
            raise self._other_bytes()

    def read(self, start: int, size: int) -> bytes:
        """At most `size` bytes from byte `start`; fewer at the end. Only the pieces that hold them are read.

        They are what the author sealed, at their place. Whether the whole has the SHA-256 that the finding
        names, only `stream` and `problems` can tell. Raises SealError, and ValueError for a negative place or size.
        """
        if start < 0 or size < 0:
            raise ValueError(f"expected a place and a size of at least 0, got {start} and {size}")
        end = min(start + size, self._artifact.size)
        if start >= end:
            return b""
        chunks = range(start // CHUNK, -(-end // CHUNK))
        skip = start - chunks.start * CHUNK
        return b"".join(self._chunks(chunks))[skip : skip + end - start]

    def write(self, target: File, progress: Progress = unheard) -> None:
        """The artifact as a new file, without a name before all is verified. Raises SealError or StoreError.

        `progress` is told of (bytes written, bytes in all).

        Where no file can be without a name (outside Linux, or on NFS), and for a stream in place of `target`, all is
        verified first, then read once more; a crash in between can leave a part of it beside `target` under a name
        that ends in `.partial`.
        """
        if isinstance(target, Path):
            if os.path.lexists(target):
                raise StoreError(f"{target} is there already", hint="choose another name; nothing is overwritten")
            if link_unnamed(target, self._told(progress)):
                return
        for _ in self._told(progress):
            pass
        if isinstance(target, Path):
            link_named(target, self.stream())
        else:
            pour(self.stream(), target)

    def problems(self) -> tuple[str, ...]:
        """Every piece that is missing or altered; or, if none is, why the whole does not open. Reads everything."""
        found = []
        for piece in range(len(self._artifact.pieces)):
            try:
                self._fetched(piece)
            except SealError as error:
                found.append(error.message)
        if not found:
            try:
                for _ in self.stream():
                    pass
            except SealError as error:
                found.append(error.message)
        return tuple(found)

    def _told(self, progress: Progress) -> Iterator[bytes]:
        done = 0
        for chunk in self.stream():
            yield chunk
            done += len(chunk)
            progress(done, self._artifact.size)

    def _chunks(self, chunks: range) -> Iterator[bytes]:
        """The plaintext of neighbouring chunks."""
        layout = self._cutting.layout
        piece = layout.sealed_range(chunks.start).start // PIECE
        held, held_at = self._piece(piece), piece * PIECE
        for index in chunks:
            place = layout.sealed_range(index)
            if place.stop > held_at + len(held):
                piece += 1
                held, held_at = held[place.start - held_at :] + self._piece(piece), place.start
            view = memoryview(held)
            yield self._cipher.open(index, view[place.start - held_at : place.stop - held_at])

    def _piece(self, piece: int) -> bytes:
        data, expected = self._fetched(piece), self._cutting.size_of(piece)
        if len(data) != expected:
            raise self._bad(piece, f"has {len(data)} bytes instead of {expected}", "its author must share it again")
        return data

    def _fetched(self, piece: int) -> bytes:
        try:
            data = self._get(self._artifact.pieces[piece])
        except StoreError as error:
            raise self._bad(piece, "is altered or cannot be read", error.hint) from error
        if data is None:
            raise self._bad(piece, "is missing", "import a bundle that carries it; the author has it")
        return data

    def _bad(self, piece: int, what: str, hint: str) -> SealError:
        names = self._artifact.pieces
        return SealError(
            f"piece {piece + 1} of {len(names)} of artifact {self._artifact.sha256} {what}: {names[piece]}", hint
        )

    def _other_bytes(self) -> SealError:
        artifact = self._artifact
        return SealError(
            f"expected an artifact of {artifact.size} bytes with SHA-256 {artifact.sha256}, got other bytes",
            hint="its author sealed something else than the finding names; ask them",
        )
