"""Checkpoints: what a log says that it holds, signed by the log.

In: origin, size and root, and keys. Out: a signed note (c2sp.org/signed-note, tlog-checkpoint and
tlog-cosignature), or LogError and SignatureError. It does not compare one checkpoint with another.

The log signs twice, in this order: an Ed25519 note signature (type 0x01), and an ML-DSA-44 cosignature
of its own tree (type 0x06). Both are required. Other lines, such as witnesses' cosignatures, say nothing here.
"""

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass
from typing import Final, Literal, NoReturn, Protocol

from darklantern.errors import LogError, SignatureError

MAX_NOTE: Final = 256 * 1024
"""Bytes; about 70 cosignatures. The specification asks readers to take at least 16."""

Algorithm = Literal["ed25519", "mldsa44"]

_TYPES: Final[dict[Algorithm, bytes]] = {"ed25519": b"\x01", "mldsa44": b"\x06"}
_TEXT = re.compile(r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n")
_LINE = re.compile(r"— (?P<name>[^ \n]+) (?P<sig>[A-Za-z0-9+/]+={0,2})\n")


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
        _check_name(self.origin)
        if not 0 <= self.size < 1 << 63 or len(self.root) != 32:
            _refuse(f"a size below 2^63 and a root of 32 bytes, got {self.size} and {len(self.root)} bytes")

    def text(self) -> bytes:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{_encode64(self.root)}\n".encode()


@dataclass(frozen=True)
class _Line:
    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"— {self.name} {_encode64(self.key_id + self.signature)}\n"


def sign(checkpoint: Checkpoint, key: NoteSigner, time: int) -> bytes:
    """The note that says `checkpoint`, signed by the log itself at `time` (seconds since 1970)."""
    text = checkpoint.text()
    plain = _Line(checkpoint.origin, _key_id(checkpoint.origin, "ed25519", key.public), key.sign("ed25519", text))
    return text + b"\n" + str(plain).encode() + str(_cosignature(checkpoint, key, time)).encode()


def verify(note: bytes, origin: str, log: NoteVerifier) -> tuple[Checkpoint, int]:
    """What the log `origin` signed, and when it says that it did.

    Raises LogError for bytes that are not exactly a checkpoint, SignatureError unless both of the
    log's signatures come first and verify. Signatures under other keys are ignored, as the
    specification asks.
    """
    checkpoint, lines = _parse(note)
    if checkpoint.origin != origin:
        _refuse(f"a checkpoint of {origin}, got one of {checkpoint.origin}")
    expected = [(origin, _key_id(origin, algorithm, log)) for algorithm in _TYPES]
    if [(line.name, line.key_id) for line in lines[:2]] != expected:
        raise SignatureError(
            f"expected the two signatures of {origin} first, Ed25519 and then ML-DSA-44, got other lines",
            hint="the log may have a new key; its circle's record names the one that counts",
        )
    log.verify("ed25519", lines[0].signature, checkpoint.text())
    return checkpoint, _check_cosignature(lines[1], checkpoint, log)


def _parse(note: bytes) -> tuple[Checkpoint, list[_Line]]:
    """The note's parts. Writing them again must give the same bytes."""
    if len(note) > MAX_NOTE:
        _refuse(f"a checkpoint of at most {MAX_NOTE} bytes, got {len(note)}")
    try:
        text, _, signatures = note.decode().partition("\n\n")
    except UnicodeDecodeError as error:
        raise _error("UTF-8 text, got other bytes") from error
    match = _TEXT.fullmatch(text + "\n")
    if not match:
        _refuse("three lines (origin, size, root), an empty line and signatures, got other text")
    checkpoint = Checkpoint(match["origin"], int(match["size"]), _decode64(match["root"]))
    lines: list[_Line] = []
    for line in signatures.splitlines(keepends=True):
        parts = _LINE.fullmatch(line)
        if not parts:
            _refuse("signature lines '— name base64', got another line")
        _check_name(parts["name"])
        blob = _decode64(parts["sig"])
        if len(blob) <= 4:
            _refuse("a key id of 4 bytes and a signature, got too few bytes")
        lines.append(_Line(parts["name"], blob[:4], blob[4:]))
    if len({(line.name, line.key_id) for line in lines}) != len(lines):
        _refuse("one signature by each key, got two")
    if checkpoint.text() + b"\n" + "".join(map(str, lines)).encode() != note:
        _refuse("canonical bytes, got another spelling of the same checkpoint")
    return checkpoint, lines


def _key_id(name: str, algorithm: Algorithm, key: NoteVerifier) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _TYPES[algorithm] + key.raw(algorithm)).digest()[:4]


def _cosignature(checkpoint: Checkpoint, key: NoteSigner, time: int) -> _Line:
    if not 0 < time < 1 << 63:
        _refuse(f"a time in seconds since 1970, got {time}")
    signature = key.sign("mldsa44", _cosigned_message(checkpoint, time))
    return _Line(
        checkpoint.origin, _key_id(checkpoint.origin, "mldsa44", key.public), struct.pack(">Q", time) + signature
    )


def _check_cosignature(line: _Line, checkpoint: Checkpoint, key: NoteVerifier) -> int:
    time, signature = _timestamp(line)
    key.verify("mldsa44", signature, _cosigned_message(checkpoint, time))
    return time


def _timestamp(line: _Line) -> tuple[int, bytes]:
    """`timestamped_signature`. Time 0 says nothing about when, so freshness could not be judged by it."""
    time = int.from_bytes(line.signature[:8], "big")
    if not 0 < time < 1 << 63:
        _refuse(f"a cosignature that says when it was made, got time {time}")
    return time, line.signature[8:]


def _cosigned_message(checkpoint: Checkpoint, time: int) -> bytes:
    """`cosigned_message`: the log is its own cosigner, and the whole tree is the subtree from 0 to its size."""
    origin = checkpoint.origin.encode()
    name = bytes([len(origin)]) + origin
    return b"".join(
        (
            b"subtree/v1\n\x00",
            name,
            struct.pack(">Q", time),
            name,
            struct.pack(">QQ", 0, checkpoint.size),
            checkpoint.root,
        )
    )


def _check_name(name: str) -> None:
    """Key names as signed-note has them, short enough for the one-byte lengths of a cosignature."""
    if not name.isprintable() or " " in name or "+" in name or not 0 < len(name.encode()) < 256:
        _refuse(f"a name of 1 to 255 bytes without spaces, plus or control characters, got {name!r}")


def _encode64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _error("base64 with padding, got other text") from error


def _refuse(message: str) -> NoReturn:
    raise _error(message)


def _error(message: str) -> LogError:
    return LogError(
        f"checkpoint: expected {message}",
        hint="the relay sent something else than the log's checkpoint; fetch it again, and keep this one if it recurs",
    )
