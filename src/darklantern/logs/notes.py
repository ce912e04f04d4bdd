"""Signed notes (c2sp.org/signed-note): a text, an empty line, and one line for each signature.

In: bytes, or a text and lines. Out: the other, or LogError for a spelling that is not the only one. It verifies
nothing: a line names a key by four bytes, and anybody can write any four bytes.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from darklantern.errors import LogError, refusing

refused = refusing(
    LogError,
    "checkpoint",
    hint="the relay sent something else than the log's checkpoint; fetch it again, and keep this one if it recurs",
)
"""What is wrong with a note, or with what is said about one."""

_LINE = re.compile(r"— (?P<name>[^ \n]+) (?P<sig>[A-Za-z0-9+/]+={0,2})\n")
_KEY_ID = 4


@dataclass(frozen=True)
class Line:
    """One signature: the signer's name, four bytes that say which of its keys, and the signature."""

    name: str
    key_id: bytes
    signature: bytes

    def __bytes__(self) -> bytes:
        return f"— {self.name} {encode64(self.key_id + self.signature)}\n".encode()

    @property
    def key(self) -> tuple[str, bytes]:
        """What tells keys apart within a note."""
        return self.name, self.key_id


def read(note: bytes, limit: int) -> tuple[str, tuple[Line, ...]]:
    """The text, with its last line feed, and the lines of a note of at most `limit` bytes. Raises LogError."""
    if len(note) > limit:
        raise refused(f"at most {limit} bytes", f"{len(note)}")
    try:
        text, empty, signatures = note.decode().rpartition("\n\n")
    except UnicodeDecodeError as error:
        raise refused("UTF-8 text", "other bytes") from error
    if not empty:
        raise refused("a text, an empty line and signatures", "no empty line")
    lines = tuple(read_line(line.encode()) for line in signatures.splitlines(keepends=True))
    if len({line.key for line in lines}) != len(lines):
        raise refused("one signature by each key", "two")
    return text + "\n", lines


def write(text: str, lines: Iterable[Line]) -> bytes:
    """The note."""
    return text.encode() + b"\n" + b"".join(map(bytes, lines))


def read_line(line: bytes) -> Line:
    """The signature in one line, with its line feed. Raises LogError."""
    try:
        parts = _LINE.fullmatch(line.decode())
    except UnicodeDecodeError as error:
        raise refused("UTF-8 text", "other bytes") from error
    if not parts:
        raise refused("signature lines '— name base64'", "another line")
    blob = decode64(parts["sig"])
    if len(blob) <= _KEY_ID:
        raise refused(f"a key id of {_KEY_ID} bytes and a signature", "too few bytes")
    found = Line(check_name(parts["name"]), blob[:_KEY_ID], blob[_KEY_ID:])
    if bytes(found) != line:
        raise refused("canonical base64", "another spelling of the same signature")
    return found


def key_id(name: str, kind: bytes, raw: bytes) -> bytes:
    """Which key of `name` signed: four bytes over the name, the type byte and the public key."""
    return hashlib.sha256(name.encode() + b"\n" + kind + raw).digest()[:_KEY_ID]


def check_name(name: str) -> str:
    """A key's name as signed-note has it, short enough for the one-byte lengths of a cosignature. Raises LogError."""
    if not name.isprintable() or " " in name or "+" in name or not 0 < len(name.encode()) < 256:
        raise refused("a name of 1 to 255 bytes without spaces, plus or control characters", repr(name))
    return name


def encode64(data: bytes) -> str:
    """Base64 with padding."""
    return base64.b64encode(data).decode()


def decode64(text: str) -> bytes:
    """The bytes. Raises LogError; spare bits are left to whoever compares after encoding again."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise refused("base64 with padding", "other text") from error
