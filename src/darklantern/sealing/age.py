"""Seal to recipients and open with identities: age v1 files, post-quantum hybrid recipients only.

In: plaintext and public keys, or a sealed file and secret keys. Out: the other. Callers supply no
nonce and no file key. What this does not do: say who sealed a file (that is the envelope's job), hide
the number of recipients, or hide the length of the plaintext.
"""

import io
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from darklantern.counted import counted
from darklantern.errors import NoKeyError, SealError
from darklantern.sealing import header, payload
from darklantern.sealing.hybrid import FILE_KEY, STANZA, Identity, Recipient, sealed_key

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_GREASE = re.compile(r"(.+-)?grease")
"""Stanza types that other programs add for nobody, so that readers learn to skip what they do not know."""


def seal(plaintext: bytes, recipients: Iterable[Recipient]) -> bytes:
    """`plaintext` sealed so that each recipient, and nobody else, can open it.

    Stanzas keep the order of `recipients`. Raises SealError for no recipient, or for one named twice.
    """
    file_key = new_file_key()
    return b"".join((head(recipients, file_key), *payload.encrypt(io.BytesIO(plaintext), file_key)))


def seal_stream(chunks: Iterable[bytes], recipients: Iterable[Recipient]) -> Iterator[bytes]:
    """The same for plaintext that comes in chunks of any size, in flat memory. Raises SealError before the first."""
    file_key = new_file_key()
    start = head(recipients, file_key)
    return itertools.chain((start,), payload.encrypt(io.BufferedReader(_Chunks(chunks), payload.CHUNK), file_key))


class _Chunks(io.RawIOBase):
    """Chunks to be read as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        taken = self._left[: len(memoryview(buffer))]
        memoryview(buffer)[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)


def open(ciphertext: bytes, identities: Iterable[Identity]) -> bytes:
    """The plaintext, all of it verified. Raises SealError for a damaged file or when no identity fits."""
    source = io.BytesIO(ciphertext)
    file_key = read_file_key(source, identities)
    return b"".join(payload.decrypt(source, file_key))


def open_stream(source: BinaryIO, identities: Iterable[Identity]) -> Iterator[bytes]:
    """The same for a file of any size, chunk by chunk, in flat memory. Raises SealError, maybe only at the last chunk.

    What came out before an error is authentic but incomplete: do not act on it before the end.
    """
    return payload.decrypt(source, read_file_key(source, identities))


def new_file_key() -> bytes:
    """A fresh file key. It stays within this room."""
    return os.urandom(FILE_KEY)


def head(recipients: Iterable[Recipient], file_key: bytes) -> bytes:
    """The header that wraps `file_key` for each recipient. Raises SealError as `seal` does."""
    everyone = tuple(recipients)
    if not everyone:
        raise SealError(
            "expected at least one recipient, got none", hint="an empty group means nobody, never everybody"
        )
    if len(set(everyone)) != len(everyone):
        raise SealError(
            f"expected {len(everyone)} different recipients, got one of them twice",
            hint="name each device once; two devices that share a key are one device",
        )
    written = header.write([recipient.wrap(file_key) for recipient in everyone], file_key)
    if len(written) > header.MAX_HEADER:
        each = len(written) // len(everyone)
        raise SealError(
            f"expected at most {header.MAX_HEADER // each:,} recipients, got {len(everyone):,}: "
            f"each takes {each:,} bytes of a header, which may have {header.MAX_HEADER:,}",
            hint="a circle may have that many devices: have people leave out old ones, or make two circles",
        )
    return written


def read_file_key(source: BinaryIO, identities: Iterable[Identity]) -> bytes:
    """The file key in the header at the start of `source`, which is left at the nonce. Raises SealError."""
    found = header.read(source)
    file_key = _unwrap(found.stanzas, tuple(identities))
    header.check_mac(found, file_key)
    return file_key


def _unwrap(stanzas: tuple[header.Stanza, ...], identities: tuple[Identity, ...]) -> bytes:
    # 1. The file key is as safe as its weakest wrapping, and any type that is not ours may be a weak one: a plugin
    #    gives its stanzas whatever name it likes. The spec would have us ignore them.
    types = {stanza.arguments[0] for stanza in stanzas} - {STANZA}
    others = sorted(kind for kind in types if not _GREASE.fullmatch(kind))
    if others:
        raise SealError(
            f"age header: expected {STANZA} stanzas only, got {len(others)} other types, the first is {others[0][:40]}",
            hint=f"ask the sender to seal again to {STANZA} recipients (age1pq1…) alone",
        )
    # 2. A malformed stanza of ours is refused, though another may be whole.
    sealed = [sealed_key(stanza) for stanza in stanzas if stanza.arguments[0] == STANZA]
    # 3. Stanzas name nobody, so each identity tries each one.
    for identity in identities:
        for candidate in sealed:
            file_key = identity.unwrap(candidate)
            if file_key is not None:
                return file_key
    raise NoKeyError(
        f"none of the {len(identities)} given identities opens it: it is sealed to {counted(len(sealed), 'other key')}",
        hint="nothing in it says whose; ask the sender to seal it to this device, or name your key with --identity",
    )
