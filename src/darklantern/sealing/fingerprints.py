"""Names for public keys: a full id for programs, a short fingerprint for people."""

import base64
import hashlib

from darklantern.records import Value, encode

_BYTES = 20
"""160 bits: out of reach of a second key made to look the same, and still readable aloud."""


def fingerprint(data: bytes) -> str:
    """Eight groups of four base32 characters from SHA-256 of `data`: `MZXW-6YTB-…`."""
    return _groups(hashlib.sha256(data).digest())


def fingerprint_of(id: str) -> str:
    """The fingerprint of the key with that id."""
    return _groups(bytes.fromhex(id))


def brief(id: str) -> str:
    """How the fingerprint of the key with that id begins, for a line that tells which of a few is meant."""
    return f"{fingerprint_of(id)[:9]}…"


def _groups(digest: bytes) -> str:
    text = base64.b32encode(digest[:_BYTES]).decode()
    return "-".join(text[i : i + 4] for i in range(0, len(text), 4))


class Identified(Value, frozen=True):
    """Base of public keys: both names are computed from the exact bytes, so neither can lie."""

    @property
    def id(self) -> str:
        """Lower-case hex of SHA-256 of the exact bytes."""
        return hashlib.sha256(encode(self)).hexdigest()

    @property
    def fingerprint(self) -> str:
        """The id's first 160 bits, for people to compare."""
        return fingerprint(encode(self))
