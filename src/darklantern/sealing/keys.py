"""A device: the four keys of one machine, each with one role, and their public record.

In: the system's random source, or the bytes of a stored device. Out: a `Device`, and the
`DevicePublic` that others know it by. It stores nothing: `to_bytes` is for an encrypted store.
"""

import os
from typing import Annotated, Final, Literal, final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from darklantern.errors import RecordError
from darklantern.sealing.fingerprints import Identified
from darklantern.sealing.hybrid import Identity, Recipient
from darklantern.sealing.secret import SEED, Secret, pack, require_seed, unpack
from darklantern.sealing.signing import Ed25519Bytes, SigningKey, VerifyKey

_LABEL = b"darklantern device v1\n"
_SEEDS = 4


@final
class DevicePublic(Identified, frozen=True, kw_only=True):
    """What others know of a device. Compare its fingerprint in person before trusting it."""

    v: Literal[1] = 1
    signing: VerifyKey
    """verifies the device's envelopes"""
    recipient: Annotated[str, msgspec.Meta(pattern=r"^age1pq1[0-9a-z]{1952}\Z")]
    """what is sealed to the device, as text that a stock age understands"""
    auth: Ed25519Bytes
    """verifies the device's log-in at a relay"""

    def receiver(self) -> Recipient:
        """`recipient` as a key to seal to. Raises SealError when its checksum is wrong."""
        return Recipient.parse(self.recipient)


@final
class Device(Secret):
    """The secret keys of one machine: two to sign envelopes, one to receive, one to log in.

    Raises RecordError when two of them are the same key: a key with two roles lets a signature or a
    ciphertext made for one be used in the other.
    """

    __slots__ = ("_auth", "receiving", "signing")

    def __init__(self, signing: SigningKey, receiving: Identity, auth_seed: bytes) -> None:
        self.signing: Final = signing
        self.receiving: Final = receiving
        self._auth: Final = Ed25519PrivateKey.from_private_bytes(require_seed(auth_seed))
        if len(set(self._seeds())) != _SEEDS:
            raise RecordError(
                f"expected {_SEEDS} different keys, got one key in two roles",
                hint="make a new device with Device.generate()",
            )

    @classmethod
    def generate(cls) -> "Device":
        """A new device from the system's random source."""
        return cls(SigningKey.generate(), Identity.generate(), os.urandom(SEED))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Device":
        """The device that `to_bytes` wrote. Raises RecordError for anything else."""
        *signing, receiving, auth = unpack(_LABEL, data, _SEEDS)
        return cls(SigningKey(signing), Identity(receiving), auth)

    def to_bytes(self) -> bytes:
        """The secret itself. Keep it in an encrypted store only."""
        return pack(_LABEL, *self._seeds())

    @property
    def public(self) -> DevicePublic:
        """The half that may be shown to anyone."""
        return DevicePublic(
            signing=self.signing.public,
            recipient=str(self.receiving.recipient),
            auth=self._auth.public_key().public_bytes_raw(),
        )

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the public half."""
        return self.public.fingerprint

    def sign_login(self, message: bytes) -> bytes:
        """The Ed25519 signature over a `login.login_message`, and over nothing else."""
        return self._auth.sign(message)

    def _seeds(self) -> list[bytes]:
        return [*self.signing.seeds(), self.receiving.seed, self._auth.private_bytes_raw()]
