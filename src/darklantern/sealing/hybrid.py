"""The post-quantum hybrid recipient of age: X-Wing (ML-KEM-768 with X25519) in HPKE.

In: a 32-byte seed, or `age1pq1…` text. Out: a recipient that wraps file keys and an identity that
unwraps them (c2sp.org/age, "MLKEM768-X25519"). No other recipient type exists here.
"""

import hashlib
import os
from dataclasses import dataclass
from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from darklantern.errors import SealError
from darklantern.sealing import bech32
from darklantern.sealing.fingerprints import fingerprint
from darklantern.sealing.header import Stanza, decode64, encode64
from darklantern.sealing.secret import SEED, Secret, require_seed

STANZA: Final = "mlkem768x25519"
FILE_KEY: Final = 16

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_INFO = b"age-encryption.org/mlkem768x25519"
_MLKEM_PUBLIC, _X25519_PUBLIC = 1184, 32
_ENCAPSULATED = 1120
_BODY = FILE_KEY + 16


@final
@dataclass(frozen=True)
class Recipient:
    """A public key to seal to. `str(recipient)` is its `age1pq1…` text, which a stock age understands.

    Raises SealError when `raw` is not 1,216 bytes of a valid ML-KEM-768 and X25519 key, so that a bad key is
    refused where it enters and cannot stop a later seal to a whole group.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != _MLKEM_PUBLIC + _X25519_PUBLIC:
            raise _bad_recipient(f"{len(self.raw)} bytes")
        try:
            self._key()
        except ValueError as error:
            raise _bad_recipient("an ML-KEM key with coefficients out of range") from error
        if _has_low_order(self.raw[_MLKEM_PUBLIC:]):
            raise _bad_recipient("an X25519 key of low order")

    @classmethod
    def parse(cls, text: str) -> "Recipient":
        """The recipient written as `age1pq1…`. Raises SealError."""
        return cls(bech32.decode("age1pq", text))

    def __str__(self) -> str:
        return bech32.encode("age1pq", self.raw)

    def __repr__(self) -> str:
        return f"<Recipient {self.fingerprint}>"

    @property
    def fingerprint(self) -> str:
        """The public key in 32 readable characters."""
        return fingerprint(self.raw)

    def wrap(self, file_key: bytes) -> Stanza:
        """`file_key` as a stanza that only this recipient's identity can unwrap."""
        sealed = _SUITE.encrypt(file_key, self._key(), info=_INFO)
        enc, body = sealed[:_ENCAPSULATED], sealed[_ENCAPSULATED:]
        return Stanza((STANZA, encode64(enc).decode()), body)

    def _key(self) -> MLKEM768X25519PublicKey:
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(self.raw[:_MLKEM_PUBLIC]),
            X25519PublicKey.from_public_bytes(self.raw[_MLKEM_PUBLIC:]),
        )


@final
class Identity(Secret):
    """A secret X-Wing key, from its 32-byte seed: a device's, an epoch's, or one large artifact's."""

    __slots__ = ("_key", "recipient", "seed")

    def __init__(self, seed: bytes) -> None:
        self.seed: Final = require_seed(seed)
        """secret: the whole key"""
        # draft-connolly-cfrg-xwing-kem, "Key derivation": 64 bytes for ML-KEM (d, z), then 32 for X25519.
        expanded = hashlib.shake_256(seed).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        self._key: Final = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.recipient: Final = Recipient(
            mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        )

    @classmethod
    def generate(cls) -> "Identity":
        """A new identity from the system's random source."""
        return cls(os.urandom(SEED))

    @classmethod
    def parse(cls, text: str) -> "Identity":
        """The identity written as `AGE-SECRET-KEY-PQ-1…`. Raises SealError."""
        seed = bech32.decode("age-secret-key-pq-", text)
        if len(seed) != SEED:
            raise SealError(
                f"expected an identity of {SEED} bytes, got {len(seed)}", hint="only AGE-SECRET-KEY-PQ-1… keys open"
            )
        return cls(seed)

    def reveal(self) -> str:
        """The secret as `AGE-SECRET-KEY-PQ-1…`, for a stock age. Whoever reads it can open everything."""
        return bech32.encode("age-secret-key-pq-", self.seed).upper()

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the recipient."""
        return self.recipient.fingerprint

    def unwrap(self, sealed: bytes) -> bytes | None:
        """The file key in `sealed` (from `sealed_key`), or None when it is not for this identity."""
        try:
            return _SUITE.decrypt(sealed, self._key, info=_INFO)
        except InvalidTag:
            return None


def recipient_of(seed: bytes) -> Recipient:
    """The recipient that belongs to a 32-byte seed, such as an epoch's."""
    return Identity(seed).recipient


def sealed_key(stanza: Stanza) -> bytes:
    """The HPKE ciphertext of a `mlkem768x25519` stanza. Raises SealError unless its shape is exact.

    The body's length is checked before any decryption (partitioning oracles), which also fixes the
    file key at 16 bytes.
    """
    enc = decode64(stanza.arguments[1].encode()) if len(stanza.arguments) == 2 else b""
    if len(enc) != _ENCAPSULATED or len(stanza.body) != _BODY:
        raise _bad_stanza(f"{len(stanza.arguments) - 1} arguments and a body of {len(stanza.body)}")
    if _has_low_order(enc[-_X25519_PUBLIC:]):
        raise _bad_stanza("an X25519 share of low order")
    return enc + stanza.body


def _has_low_order(x25519_public: bytes) -> bool:
    """Whether the shared secret would be zero whatever the other key is (RFC 7748, section 6.1)."""
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(x25519_public))
    except ValueError:
        return True
    return False


def _bad_stanza(got: str) -> SealError:
    return SealError(
        f"age header: expected a {STANZA} stanza with one argument of {_ENCAPSULATED} bytes and a body of {_BODY}, "
        f"got {got}",
        hint="the file is damaged, or something other than age wrote it; ask the sender for it again",
    )


def _bad_recipient(got: str) -> SealError:
    return SealError(
        f"expected a recipient of {_MLKEM_PUBLIC} bytes ML-KEM-768 and {_X25519_PUBLIC} bytes X25519, got {got}",
        hint="ask its owner for the public key again; classical age1… recipients are never used",
    )
