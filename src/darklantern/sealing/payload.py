"""The binary payload of an age v1 file: 64 KiB chunks of ChaCha20-Poly1305 (c2sp.org/age, "Payload").

In: a binary stream and the file key. Out: chunks. A chunk comes out only once its tag has verified,
and reading ends without an error only after the chunk that is marked as the last.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from darklantern.errors import SealError

CHUNK = 64 * 1024
TAG = 16
NONCE = 16
SEALED_CHUNK = CHUNK + TAG


def encrypt(source: BinaryIO, file_key: bytes) -> Iterator[bytes]:
    """The payload that seals all of `source`: a fresh nonce, then one piece for each chunk."""
    nonce = os.urandom(NONCE)
    yield nonce
    aead = cipher(file_key, nonce)
    for index, chunk, last in _chunks(source, CHUNK):
        yield aead.encrypt(chunk_nonce(index, last), chunk, None)


def decrypt(source: BinaryIO, file_key: bytes) -> Iterator[bytes]:
    """The chunks sealed in the rest of `source`. Raises SealError at the first that does not verify.

    What came out before an error is authentic but incomplete: do not act on it before the end.
    """
    nonce = _read(source, NONCE)
    if len(nonce) != NONCE:
        raise SealError(
            f"age header: expected a {NONCE}-byte nonce to follow it, got {len(nonce)} bytes",
            hint="the file is truncated; ask the sender for it again",
        )
    aead = cipher(file_key, nonce)
    for index, sealed, last in _chunks(source, SEALED_CHUNK):
        try:
            chunk = aead.decrypt(chunk_nonce(index, last), sealed, None)
        except InvalidTag as error:
            raise does_not_verify(index, last) from error
        if last and index and not chunk:
            # Otherwise one plaintext would have two payloads: with and without an empty tail.
            raise _error(f"the last chunk, {index}, to hold data, and it is empty")
        yield chunk


def _chunks(source: BinaryIO, size: int) -> Iterator[tuple[int, bytes, bool]]:
    """(index, chunk, is it the last). Reading one ahead makes "last" mean that the file ends there.

    So trailing data turns the true last chunk into one that must verify as not the last, and fails.
    """
    index, chunk = 0, _read(source, size)
    while following := _read(source, size):
        yield index, chunk, False
        index, chunk = index + 1, following
    yield index, chunk, True


def _read(source: BinaryIO, size: int) -> bytes:
    """`size` bytes, or fewer at the end of the file only: pipes and sockets return short reads."""
    data = source.read(size)
    while len(data) < size and (more := source.read(size - len(data))):
        data += more
    return data


def cipher(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    """The cipher of one file's chunks."""
    return ChaCha20Poly1305(HKDF(algorithm=SHA256(), length=32, salt=nonce, info=b"payload").derive(file_key))


def chunk_nonce(index: int, last: bool) -> bytes:
    """The nonce of one chunk. The flag makes a file that was cut at a chunk's border fail."""
    return index.to_bytes(11, "big") + bytes([last])


def does_not_verify(index: int, last: bool) -> SealError:
    """What to raise for a chunk whose tag is wrong."""
    return _error(f"{'last ' if last else ''}chunk {index} to verify, and it does not")


def _error(expected: str) -> SealError:
    return SealError(
        f"age payload: expected {expected}",
        hint="the file was cut, altered or has data after its end; ask the sender for it again",
    )
