"""Keys that sign: two algorithms under one id, so that a forgery needs both to fall.

In: a message. Out: one signature for each algorithm asked for. `SigningKey` (Ed25519 + ML-DSA-65)
signs envelopes, for a device or a root; `LogKey` (Ed25519 + ML-DSA-44) signs checkpoints and
nothing else. What the message means is decided elsewhere.
"""

import os
from abc import abstractmethod
from functools import lru_cache
from typing import Annotated, ClassVar, Final, Literal, Self, final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PrivateKey,
    MLDSA44PublicKey,
    MLDSA65PrivateKey,
    MLDSA65PublicKey,
)

from darklantern.errors import SignatureError
from darklantern.sealing.fingerprints import Identified
from darklantern.sealing.secret import SEED, Secret, pack, require_seed, unpack

Algorithm = Literal["ed25519", "mldsa44", "mldsa65"]

Ed25519Bytes = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
MLDSA44Bytes = Annotated[bytes, msgspec.Meta(min_length=1312, max_length=1312)]
MLDSA65Bytes = Annotated[bytes, msgspec.Meta(min_length=1952, max_length=1952)]


class PublicKeys(Identified, frozen=True):
    """Base of the public halves. Its fields are named after the algorithms, in signing order."""

    @classmethod
    def algorithms(cls) -> tuple[Algorithm, ...]:
        """The algorithms of this key, in the order in which their signatures are listed."""
        return cls.__struct_fields__  # type: ignore[return-value]  # subclasses have no other fields

    def raw(self, algorithm: Algorithm) -> bytes:
        """The public key of one algorithm, in its standard encoding. Raises SignatureError."""
        if algorithm not in self.algorithms():
            raise _unknown(algorithm, self.algorithms())
        key: bytes = getattr(self, algorithm)
        return key

    def verify(self, algorithm: Algorithm, signature: bytes, message: bytes) -> None:
        """Raises SignatureError unless `signature` is this key's over exactly `message`."""
        try:
            _public_key(algorithm, self.raw(algorithm)).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise SignatureError(
                f"expected a valid {algorithm} signature by {self.fingerprint}, got one that does not verify",
                hint="the bytes were altered, or another key signed them; fetch the original again",
            ) from error


@final
class VerifyKey(PublicKeys, frozen=True, kw_only=True):
    """The public half of a `SigningKey`."""

    ed25519: Ed25519Bytes
    mldsa65: MLDSA65Bytes


@final
class LogVerifyKey(PublicKeys, frozen=True, kw_only=True):
    """The public half of a `LogKey`."""

    ed25519: Ed25519Bytes
    mldsa44: MLDSA44Bytes


class SecretKeys(Secret):
    """Base of the secret halves: a key for each algorithm, made and stored together."""

    label: ClassVar[bytes]
    public_type: ClassVar[type[PublicKeys]]
    __slots__ = ("_keys",)

    def __init__(self, seeds: list[bytes]) -> None:
        algorithms = self.public_type.algorithms()
        self._keys: Final = {a: _private_key(a, require_seed(s)) for a, s in zip(algorithms, seeds, strict=True)}

    @property
    @abstractmethod
    def public(self) -> PublicKeys:
        """The half that may be shown to anyone."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the public half."""
        return self.public.fingerprint

    @classmethod
    def generate(cls) -> Self:
        """A new key from the system's random source."""
        return cls([os.urandom(SEED) for _ in cls.public_type.algorithms()])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The key that `to_bytes` wrote. Raises RecordError for anything else."""
        return cls(unpack(cls.label, data, len(cls.public_type.algorithms())))

    def to_bytes(self) -> bytes:
        """The secret itself. Keep it in an encrypted store only."""
        return pack(self.label, *self.seeds())

    def seeds(self) -> list[bytes]:
        """Secret: one seed for each algorithm."""
        return [key.private_bytes_raw() for key in self._keys.values()]

    def sign(self, algorithm: Algorithm, message: bytes) -> bytes:
        """The signature over `message` by the key of one algorithm. Raises SignatureError."""
        if algorithm not in self._keys:
            raise _unknown(algorithm, self.public_type.algorithms())
        return self._keys[algorithm].sign(message)

    def _raw(self) -> dict[str, bytes]:
        return {algorithm: key.public_key().public_bytes_raw() for algorithm, key in self._keys.items()}


@final
class SigningKey(SecretKeys):
    """Signs envelopes, for a device or a root: Ed25519 + ML-DSA-65."""

    label = b"darklantern signing key v1\n"
    public_type = VerifyKey
    __slots__ = ()

    @property
    def public(self) -> VerifyKey:
        """The half that may be shown to anyone."""
        return VerifyKey(**self._raw())


@final
class LogKey(SecretKeys):
    """Signs the checkpoints of one log: Ed25519 + ML-DSA-44, the pair that C2SP specifies."""

    label = b"darklantern log key v1\n"
    public_type = LogVerifyKey
    __slots__ = ()

    @property
    def public(self) -> LogVerifyKey:
        """The half that may be shown to anyone."""
        return LogVerifyKey(**self._raw())


def _private_key(algorithm: Algorithm, seed: bytes) -> Ed25519PrivateKey | MLDSA44PrivateKey | MLDSA65PrivateKey:
    match algorithm:
        case "ed25519":
            return Ed25519PrivateKey.from_private_bytes(seed)
        case "mldsa44":
            return MLDSA44PrivateKey.from_seed_bytes(seed)
        case "mldsa65":
            return MLDSA65PrivateKey.from_seed_bytes(seed)


@lru_cache(maxsize=4096)  # reading a key takes a third of the time of using it
def _public_key(algorithm: Algorithm, raw: bytes) -> Ed25519PublicKey | MLDSA44PublicKey | MLDSA65PublicKey:
    match algorithm:
        case "ed25519":
            return Ed25519PublicKey.from_public_bytes(raw)
        case "mldsa44":
            return MLDSA44PublicKey.from_public_bytes(raw)
        case "mldsa65":
            return MLDSA65PublicKey.from_public_bytes(raw)


def _unknown(algorithm: str, known: tuple[Algorithm, ...]) -> SignatureError:
    return SignatureError(
        f"expected one of {', '.join(known)}, got the algorithm {algorithm!r}",
        hint="the payload type fixes the algorithms; no other is ever tried",
    )
