"""Checkpoints: what a log says that it holds, signed by the log.

In: origin, size and root, and keys. Out: a signed note (c2sp.org/tlog-checkpoint and tlog-cosignature), or LogError and
SignatureError. It does not compare one checkpoint with another.

The log signs twice, in this order: an Ed25519 note signature (type 0x01), and an ML-DSA-44 cosignature of its own tree
(type 0x06). Both are required. What follows them, such as witnesses' cosignatures, is for `witness` to read.
"""

import re
import struct
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from darklantern.errors import SignatureError
from darklantern.logs.notes import Line, check_name, decode64, encode64, key_id, read, refused, write

MAX_NOTE: Final = 256 * 1024
"""Bytes; about 70 cosignatures. The specification asks readers to take at least 16."""

Algorithm = Literal["ed25519", "mldsa44"]

TYPES: Final[dict[Algorithm, bytes]] = {"ed25519": b"\x01", "mldsa44": b"\x06"}
"""The type byte of each algorithm's lines. 0x04, an Ed25519 cosignature, is never written and never counts."""

_TEXT = re.compile(r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n")


class NoteVerifier(Protocol):
    """The public half of a key that signs notes."""

    def raw(self, algorithm: Algorithm, /) -> bytes:
        """The public key of one algorithm, in its standard encoding."""

    def verify(self, algorithm: Algorithm, signature: bytes, message: bytes, /) -> None:
        """Raises SignatureError unless the signature is right."""


class NoteSigner(Protocol):
    """A key that signs notes."""

    @property
    def public(self) -> NoteVerifier:
        """The half that others verify with."""

    def sign(self, algorithm: Algorithm, message: bytes, /) -> bytes:
        """The signature over `message`."""


@dataclass(frozen=True)
class Checkpoint:
    """The log named `origin` has `size` entries under `root`. Raises LogError when it could not be written."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        check_name(self.origin)
        if not 0 <= self.size < 1 << 63 or len(self.root) != 32:
            raise refused("a size below 2^63 and a root of 32 bytes", f"{self.size} and {len(self.root)} bytes")

    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{encode64(self.root)}\n"


def sign(checkpoint: Checkpoint, key: NoteSigner, time: int) -> bytes:
    """The note that says `checkpoint`, signed by the log itself at `time` (seconds since 1970)."""
    text, origin = checkpoint.text(), checkpoint.origin
    plain = Line(origin, _id(origin, "ed25519", key.public), key.sign("ed25519", text.encode()))
    return write(text, (plain, cosignature(checkpoint, origin, key, time)))


def verify(note: bytes, origin: str, log: NoteVerifier) -> tuple[Checkpoint, int]:
    """What the log `origin` signed, and when it says that it did.

    Raises LogError for bytes that are not exactly a checkpoint, SignatureError unless both of the
    log's signatures come first and verify. Signatures under other keys are ignored, as the
    specification asks.
    """
    checkpoint, lines = parse(note)
    if checkpoint.origin != origin:
        raise refused(f"a checkpoint of {origin}", f"one of {checkpoint.origin}")
    expected = [(origin, _id(origin, algorithm, log)) for algorithm in TYPES]
    if [line.key for line in lines[:2]] != expected:
        raise SignatureError(
            f"expected the two signatures of {origin} first, Ed25519 and then ML-DSA-44, got other lines",
            hint="the log may have a new key; its circle's record names the one that counts",
        )
    log.verify("ed25519", lines[0].signature, checkpoint.text().encode())
    return checkpoint, check_cosignature(lines[1], checkpoint, log)


def parse(note: bytes) -> tuple[Checkpoint, tuple[Line, ...]]:
    """What a note says and the lines under it, none of it verified. Raises LogError."""
    text, lines = read(note, MAX_NOTE)
    match = _TEXT.fullmatch(text)
    if not match:
        raise refused("three lines (origin, size, root) before the signatures", "other text")
    checkpoint = Checkpoint(match["origin"], int(match["size"]), decode64(match["root"]))
    if checkpoint.text() != text:
        raise refused("canonical bytes", "another spelling of the same checkpoint")
    return checkpoint, lines


def cosignature(checkpoint: Checkpoint, name: str, key: NoteSigner, time: int) -> Line:
    """`name`'s statement that at `time` this is the largest consistent tree that it has seen of the log."""
    if not 0 < time < 1 << 63:
        raise refused("a time in seconds since 1970", f"{time}")
    signature = key.sign("mldsa44", _cosigned_message(checkpoint, name, time))
    return Line(name, cosigner_id(name, key.public), struct.pack(">Q", time) + signature)


def check_cosignature(line: Line, checkpoint: Checkpoint, key: NoteVerifier) -> int:
    """When `line` was signed. Raises SignatureError unless `key` signed `checkpoint` under the line's name."""
    time = int.from_bytes(line.signature[:8], "big")
    if not 0 < time < 1 << 63:  # time 0 says nothing about when, so freshness could not be judged by it
        raise refused("a cosignature that says when it was made", f"time {time}")
    key.verify("mldsa44", line.signature[8:], _cosigned_message(checkpoint, line.name, time))
    return time


def cosigner_id(name: str, key: NoteVerifier) -> bytes:
    """The key id of the cosignatures that `key` makes under `name`."""
    return _id(name, "mldsa44", key)


def _id(name: str, algorithm: Algorithm, key: NoteVerifier) -> bytes:
    return key_id(name, TYPES[algorithm], key.raw(algorithm))


def _cosigned_message(checkpoint: Checkpoint, cosigner: str, time: int) -> bytes:
    """`cosigned_message`: the whole tree is the subtree from 0 to its size. It binds the cosigner's name."""
    return b"".join(
        (
            b"subtree/v1\n\x00",
            _opaque(check_name(cosigner)),
            struct.pack(">Q", time),
            _opaque(checkpoint.origin),
            struct.pack(">QQ", 0, checkpoint.size),
            checkpoint.root,
        )
    )


def _opaque(name: str) -> bytes:
    data = name.encode()
    return bytes([len(data)]) + data
