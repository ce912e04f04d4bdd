"""The textual header of an age v1 file: its grammar and its MAC (c2sp.org/age, "Header").

In: a binary stream. Out: stanzas. It accepts exactly the ABNF and unwraps no key.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from darklantern.errors import SealError

MAX_HEADER = 4 * 1024 * 1024
"""Bytes; about 2,680 recipients. The spec sets no limit, and a reader without one can be made to run out of memory."""

_VERSION = b"age-encryption.org/v1"
_COLUMNS = 64
_ARGUMENT = re.compile(rb"[\x21-\x7e]+")
_END = re.compile(rb"--- ([A-Za-z0-9+/]{43})")


@dataclass(frozen=True)
class Stanza:
    """One recipient stanza: what it is addressed to, and the wrapped file key."""

    arguments: tuple[str, ...]
    body: bytes


@dataclass(frozen=True)
class Header:
    """A header whose grammar was right. Nothing in it is authentic before `check_mac`."""

    stanzas: tuple[Stanza, ...]
    covered: bytes
    """the bytes that the MAC covers, as they were read"""
    mac: bytes


def read(source: BinaryIO) -> Header:
    """The header at the start of `source`, which is left at the payload. Raises SealError."""
    covered = bytearray()

    def next_line() -> bytes:
        line = source.readline(MAX_HEADER - len(covered))
        if not line.endswith(b"\n"):
            _refuse(f"expected whole lines and at most {MAX_HEADER} bytes, got the end of the file or a longer header")
        covered.extend(line)
        return line[:-1]

    _check_version(next_line())
    stanzas: list[Stanza] = []
    while (line := next_line()).startswith(b"-> "):
        arguments = line[3:].split(b" ")
        if not all(_ARGUMENT.fullmatch(argument) for argument in arguments):
            _refuse("expected stanza arguments of visible ASCII characters, one space apart, got others")
        body = [next_line()]
        while len(body[-1]) == _COLUMNS:
            body.append(next_line())
        if len(body[-1]) > _COLUMNS:
            _refuse(f"expected stanza lines of at most {_COLUMNS} characters, got {len(body[-1])}")
        stanzas.append(Stanza(tuple(a.decode() for a in arguments), decode64(b"".join(body))))
    end = _END.fullmatch(line)
    if not end or not stanzas:
        _refuse("expected one or more stanzas and then a MAC line, got another line")
    return Header(tuple(stanzas), bytes(covered[: -len(line) - 1] + b"---"), decode64(end[1]))


def write(stanzas: Sequence[Stanza], file_key: bytes) -> bytes:
    """The header that carries `stanzas`, authenticated under `file_key`."""
    lines = [_VERSION]
    for stanza in stanzas:
        lines.append(b"-> " + " ".join(stanza.arguments).encode())
        body = encode64(stanza.body)
        # The last line must be shorter than a full one, so a body of whole lines gets an empty one.
        lines += [body[i : i + _COLUMNS] for i in range(0, len(body) + 1, _COLUMNS)]
    covered = b"\n".join((*lines, b"---"))
    return covered + b" " + encode64(_mac(covered, file_key)) + b"\n"


def check_mac(header: Header, file_key: bytes) -> None:
    """Raises SealError unless the header is what the holder of `file_key` wrote."""
    if not hmac.compare_digest(_mac(header.covered, file_key), header.mac):
        raise SealError(
            "expected the header MAC to verify under the file key, and it does not",
            hint="the header was altered after sealing; ask the sender for the original file",
        )


def encode64(data: bytes) -> bytes:
    """Base64 without padding."""
    return base64.b64encode(data).rstrip(b"=")


def decode64(text: bytes) -> bytes:
    """The bytes in canonical base64 without padding. Raises SealError."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise _error("expected base64 without padding, got other text") from error
    if encode64(data) != text:
        _refuse("expected canonical base64 without padding, got another spelling of the same bytes")
    return data


def _mac(covered: bytes, file_key: bytes) -> bytes:
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"header").derive(file_key)
    return hmac.digest(key, covered, "sha256")


def _check_version(line: bytes) -> None:
    if line == _VERSION:
        return
    hint = "this is not an age file; it may be truncated at its start, or not sealed at all"
    if line.startswith(b"-----BEGIN AGE"):
        hint = "the file is armoured as text; only the binary form is read here: decode its base64 lines first"
    elif line.startswith(b"age-encryption.org/"):
        hint = "a newer version of age wrote this; a newer darklantern may read it"
    raise SealError(f"age header: expected the line {_VERSION.decode()!r}, got another", hint)


def _refuse(message: str) -> NoReturn:
    raise _error(message)


def _error(message: str) -> SealError:
    return SealError(
        f"age header: {message}",
        hint="the file is damaged, or something other than age wrote it; ask the sender for it again",
    )
