"""From a passphrase to keys: Argon2id, with the salt and cost in a small file that anyone may read.

In: a passphrase and a header. Out: the database's key, or StoreError. Neither the passphrase nor a
key is ever stored, printed or part of an error.
"""

import hmac
import os
import unicodedata
from typing import Annotated, Final, Literal

import msgspec
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from darklantern.errors import StoreError
from darklantern.records.exact import Value, encode

KEY: Final = 32
_SALT: Final = 16


class Cost(Value, frozen=True, kw_only=True):
    """What one guess costs. The bounds keep a planted header from using up all memory."""

    memory_kib: Annotated[int, msgspec.Meta(ge=64, le=4 * 1024 * 1024)]
    passes: Annotated[int, msgspec.Meta(ge=1, le=64)]
    lanes: Annotated[int, msgspec.Meta(ge=1, le=64)]


RECOMMENDED: Final = Cost(memory_kib=64 * 1024, passes=3, lanes=4)
"""RFC 9106, section 4, second choice: 0.14 s here. Lower it in tests only."""


class VaultHeader(Value, frozen=True, kw_only=True):
    """What must be known before the passphrase is of use."""

    v: Literal[1] = 1
    kdf: Literal["argon2id"] = "argon2id"
    cost: Cost
    salt: Annotated[bytes, msgspec.Meta(min_length=_SALT, max_length=_SALT)]
    keystore: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")] | None = None
    """under which name the operating system's keystore keeps the passphrase; None where a person does"""
    check: Annotated[bytes, msgspec.Meta(max_length=KEY)]
    """MAC of all the rest under the derived key: tells a wrong passphrase from a damaged database"""


def new_header(passphrase: str, cost: Cost, keystore: str | None = None) -> tuple[VaultHeader, bytes]:
    """A header with a fresh salt, and the database's key. Raises StoreError for an empty passphrase."""
    if not passphrase:
        raise StoreError("expected a passphrase, got an empty one", hint="six random words are a good start")
    header = VaultHeader(cost=cost, salt=os.urandom(_SALT), keystore=keystore, check=b"")
    database, check = _derive(passphrase, header)
    return msgspec.structs.replace(header, check=_mac(header, check)), database


def fitting_key(passphrase: str, header: VaultHeader) -> bytes | None:
    """The database's key, or None for a wrong passphrase."""
    database, check = _derive(passphrase, header)
    return database if hmac.compare_digest(_mac(header, check), header.check) else None


def database_key(passphrase: str, header: VaultHeader) -> bytes:
    """The database's key. Raises StoreError for a wrong passphrase."""
    database = fitting_key(passphrase, header)
    if database is None:
        raise StoreError(
            "the passphrase does not fit this library, or its header was altered",
            hint="check the keyboard layout and Caps Lock; there is no way in without the passphrase",
        )
    return database


def _derive(passphrase: str, header: VaultHeader) -> tuple[bytes, bytes]:
    cost = header.cost
    kdf = Argon2id(
        salt=header.salt,
        length=2 * KEY,
        iterations=cost.passes,
        lanes=cost.lanes,
        memory_cost=max(cost.memory_kib, 8 * cost.lanes),
    )
    # The same accent typed on two systems can be two byte strings.
    derived = kdf.derive(unicodedata.normalize("NFC", passphrase).encode())
    return derived[:KEY], derived[KEY:]


def _mac(header: VaultHeader, key: bytes) -> bytes:
    return hmac.digest(key, encode(msgspec.structs.replace(header, check=b"")), "sha256")
