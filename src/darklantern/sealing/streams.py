"""An age file as a stream: sealed as it is written, or opened at any place of it.

In: a file and recipients, or a sealed file and an identity. Out: what a program writes to, or reads from, as if nothing
were sealed. Unlike `open_stream`, reading at a place says nothing of what lies elsewhere: a reader that must have all
of it verified reads all of it.
"""

import io
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO, final

from darklantern.errors import SealError
from darklantern.sealing import age, payload
from darklantern.sealing.chunks import ChunkCipher, Layout
from darklantern.sealing.hybrid import Identity, Recipient

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

MAGIC = b"age-encryption.org/v1\n"
"""What an age file begins with."""


@final
class Sealing(io.RawIOBase):
    """Seals what is written to it into `sink`, which is whole only after `finish`. Raises SealError as `age.seal`."""

    def __init__(self, sink: BinaryIO, recipients: Iterable[Recipient]) -> None:
        file_key, nonce = age.new_file_key(), os.urandom(payload.NONCE)
        sink.write(age.head(recipients, file_key) + nonce)
        self._sink, self._cipher, self._index, self._held = sink, payload.cipher(file_key, nonce), 0, bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        """Takes all of `data`. The last chunk is sealed otherwise than the others, so that one is held back."""
        self._held += data
        with memoryview(self._held) as held:
            whole = max(0, (len(held) - 1) // payload.CHUNK) * payload.CHUNK
            for at in range(0, whole, payload.CHUNK):
                self._seal(held[at : at + payload.CHUNK], last=False)
        del self._held[:whole]
        return len(memoryview(data))

    def finish(self) -> None:
        """Seal what is left: from here on the file says where it ends."""
        self._seal(bytes(self._held), last=True)
        self._held.clear()

    def _seal(self, chunk: bytes | memoryview, *, last: bool) -> None:
        self._sink.write(self._cipher.encrypt(payload.chunk_nonce(self._index, last), chunk, None))
        self._index += 1


@final
class Unsealed(io.RawIOBase):
    """The plaintext of the age file `source`, which can be read anew and at any place. Raises SealError."""

    def __init__(self, source: BinaryIO, identity: Identity) -> None:
        file_key = age.read_file_key(source, [identity])
        nonce = source.read(payload.NONCE)
        start = source.tell()
        sealed = source.seek(0, io.SEEK_END) - start
        chunks = max(1, -(-sealed // payload.SEALED_CHUNK))
        self._layout = Layout(start, sealed - chunks * payload.TAG)
        # Behind a nonce that was cut there is nothing, which is less than one tag.
        if self._layout.plaintext < 0 or self._layout.chunks != chunks:
            raise SealError("the sealed file is cut", hint="copy it again from its source")
        self._source, self._cipher = source, ChunkCipher(file_key, nonce, chunks)
        self._at, self._index, self._chunk = 0, -1, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = max(0, place + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._layout.plaintext}[whence])
        return self._at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """As much as lies in one chunk; 0 at the end. Raises SealError for a chunk that does not verify."""
        with memoryview(buffer).cast("B") as view:
            index, skip = divmod(self._at, payload.CHUNK)
            if self._at >= self._layout.plaintext and (index or self._index >= 0):
                return 0
            if index != self._index:
                place = self._layout.sealed_range(index)
                self._source.seek(place.start)
                self._chunk, self._index = self._cipher.open(index, self._source.read(len(place))), index
            got = self._chunk[skip : skip + len(view)]
            view[: len(got)] = got
        self._at += len(got)
        return len(got)
