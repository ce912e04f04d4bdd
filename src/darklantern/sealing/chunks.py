"""One chunk at a time, in any order: to go on with an interrupted sealing, and to read a part of a long file.

In: recipients or an identity, then chunks with their index. Out: what stands before the first chunk, and chunks. The
file key and the nonce are drawn here and never leave. What this does not do: notice by itself that a file ends too
early. Whoever reads by index must know how many chunks there are, and `Layout` says it.
"""

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, final

from cryptography.exceptions import InvalidTag

from darklantern.errors import SealError
from darklantern.sealing import age, payload
from darklantern.sealing.hybrid import Identity, Recipient
from darklantern.sealing.secret import Secret


@dataclass(frozen=True)
class Layout:
    """Where each chunk of a sealed file lies. All sizes in bytes."""

    start: int
    """header and nonce: what stands before the first chunk"""
    plaintext: int

    @property
    def chunks(self) -> int:
        """How many chunks there are; an empty plaintext has one."""
        return max(1, -(-self.plaintext // payload.CHUNK))

    @property
    def ciphertext(self) -> int:
        """The whole file."""
        return self.start + self.plaintext + self.chunks * payload.TAG

    def first_chunk_at(self, place: int) -> int:
        """The first chunk whose ciphertext begins at byte `place` of the file or after it; `chunks` if none does."""
        return min(self.chunks, max(0, -(-(place - self.start) // payload.SEALED_CHUNK)))

    def sealed_range(self, index: int) -> range:
        """The bytes of the file that hold chunk `index`."""
        begin = self.start + index * payload.SEALED_CHUNK
        return range(begin, min(begin + payload.SEALED_CHUNK, self.ciphertext))


@final
class ChunkCipher(Secret):
    """The file key and nonce of one sealed file.

    Sealing two different chunks under one index would give both away, and the means to forge others
    (RFC 8439, section 4). Whoever seals again after a crash must know that the chunk is the same.
    """

    __slots__ = ("_cipher", "_last")

    def __init__(self, file_key: bytes, nonce: bytes, chunks: int) -> None:
        self._cipher: Final = payload.cipher(file_key, nonce)
        self._last: Final = chunks - 1

    @property
    def fingerprint(self) -> str:
        """Nothing: a file key has no public half."""
        return f"of {self._last + 1} chunks"

    def seal(self, index: int, chunk: bytes | memoryview) -> bytes:
        """Chunk `index` as it stands in the file. Always the same bytes for the same chunk."""
        return self._cipher.encrypt(payload.chunk_nonce(index, index == self._last), chunk, None)

    def open(self, index: int, sealed: bytes | memoryview) -> bytes:
        """The plaintext of chunk `index`. Raises SealError."""
        last = index == self._last
        try:
            return self._cipher.decrypt(payload.chunk_nonce(index, last), sealed, None)
        except InvalidTag as error:
            raise payload.does_not_verify(index, last) from error


def begin(recipients: Iterable[Recipient], plaintext: int) -> tuple[bytes, ChunkCipher]:
    """The start of a new file that seals `plaintext` bytes, and the cipher of its chunks. Raises SealError."""
    file_key, nonce = age.new_file_key(), os.urandom(payload.NONCE)
    start = age.head(recipients, file_key) + nonce
    return start, ChunkCipher(file_key, nonce, Layout(len(start), plaintext).chunks)


def resume(beginning: bytes, identity: Identity, plaintext: int) -> tuple[Layout, ChunkCipher]:
    """The layout and the cipher of a file that begins with these bytes and seals `plaintext` bytes.

    Raises SealError for a header that is damaged, is for another identity, or does not end in `beginning`.
    """
    source = io.BytesIO(beginning)
    file_key = age.read_file_key(source, [identity])
    nonce = source.read(payload.NONCE)
    if len(nonce) != payload.NONCE:
        raise SealError(
            f"expected an age header and a nonce within the first {len(beginning)} bytes, got a longer header",
            hint="another program sealed this for many recipients; ask its author to seal it again",
        )
    layout = Layout(source.tell(), plaintext)
    return layout, ChunkCipher(file_key, nonce, layout.chunks)
