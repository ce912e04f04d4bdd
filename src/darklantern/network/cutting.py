"""Which chunks of a sealed artifact lie in which of its pieces.

In: the layout of a sealed file. Out: ranges of chunks and bytes. Chunks do not end where pieces end, so the
last chunk that begins in a piece mostly reaches into the next; it belongs to the piece in which it begins.
"""

from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from darklantern.errors import SealError
from darklantern.network.items import PIECE, SealedArtifact, bucket
from darklantern.sealing.chunks import ChunkCipher, Layout, resume
from darklantern.sealing.hybrid import Identity
from darklantern.sealing.payload import CHUNK

Buffer = bytes | bytearray
_MARK: Final = "darklantern 2026 mark of an artifact's plaintext, v1"


@dataclass(frozen=True)
class Cutting:
    """The pieces of one sealed file."""

    layout: Layout

    @property
    def pieces(self) -> int:
        """How many pieces there are."""
        return -(-self.layout.ciphertext // PIECE)

    def beginning_in(self, piece: int) -> range:
        """The chunks that begin in a piece. None in a last piece that holds only the end of a chunk."""
        first = self.layout.first_chunk_at(piece * PIECE)
        return range(first, self.layout.first_chunk_at((piece + 1) * PIECE))

    def reaching_into(self, piece: int) -> range:
        """The chunk that begins before a piece and ends in it; empty when none does."""
        first = self.layout.first_chunk_at(piece * PIECE)
        before = range(max(0, first - 1), first)
        reaches = before and self.layout.sealed_range(before[0]).stop > piece * PIECE
        return before if reaches else range(0)

    def size_of(self, piece: int) -> int:
        """Bytes in a piece: all are full but the last."""
        return min(PIECE, self.layout.ciphertext - piece * PIECE)


@dataclass(frozen=True)
class Span:
    """What begins in one piece."""

    cutting: Cutting
    piece: int

    @property
    def place(self) -> range:
        """The bytes of plaintext, padding among them, that begin in the piece."""
        chunks = self.cutting.beginning_in(self.piece)
        end = self.cutting.layout.plaintext
        return range(min(chunks.start * CHUNK, end), min(chunks.stop * CHUNK, end))

    def sealed(self, cipher: ChunkCipher, carried: Buffer, plaintext: Buffer) -> bytearray:
        """The ciphertext of the piece, and then what of its last chunk belongs to the next.

        `carried` is what the piece before gave on: the start of the file for the first.
        """
        ciphertext = bytearray(carried)
        for index in self.cutting.beginning_in(self.piece):
            ciphertext += self._chunk(cipher, index, plaintext)
        return ciphertext

    def overhang(self, cipher: ChunkCipher, plaintext: Buffer) -> Buffer:
        """What of the piece's last chunk belongs to the next; empty when the piece ends where a chunk ends."""
        end = (self.piece + 1) * PIECE
        for index in self.cutting.reaching_into(self.piece + 1):
            return self._chunk(cipher, index, plaintext)[end - self.cutting.layout.sealed_range(index).start :]
        return b""

    def _chunk(self, cipher: ChunkCipher, index: int, plaintext: Buffer) -> Buffer:
        at = index * CHUNK - self.place.start
        with memoryview(plaintext)[at : at + CHUNK] as chunk:
            return cipher.seal(index, chunk)


def opened_cutting(artifact: SealedArtifact, first_piece: bytes) -> tuple[Cutting, ChunkCipher]:
    """How an artifact is cut, and the cipher of its chunks. Raises SealError."""
    layout, cipher = resume(first_piece, Identity(artifact.seed), bucket(artifact.size))
    cutting = Cutting(layout)
    if len(artifact.pieces) != cutting.pieces:
        raise SealError(
            f"expected {cutting.pieces} pieces for an artifact of {artifact.size} bytes, got {len(artifact.pieces)}",
            hint="its author must share it again",
        )
    return cutting, cipher


def mark(seed: bytes, piece: int, plaintext: Buffer) -> str:
    """What may lie on a disk about the plaintext that begins in a piece: a MAC that says nothing without the seed."""
    key = blake3(seed, derive_key_context=_MARK).digest()
    return blake3(piece.to_bytes(8, "big"), key=key).update(plaintext).hexdigest()
