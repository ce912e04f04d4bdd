"""A relay: the keys of one server, each with one role, and their public record.

In: the system's random source, or the bytes of a stored relay. Out: a `RelayKey`, and the `RelayPublic` that others
know it by. It stores nothing.
"""

import os
from typing import Annotated, Final, Literal, final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from darklantern.errors import RecordError
from darklantern.records import Value
from darklantern.sealing.fingerprints import Identified
from darklantern.sealing.secret import SEED, Secret, pack, require_seed, unpack
from darklantern.sealing.signing import Ed25519Bytes, LogKey, LogVerifyKey
from darklantern.sealing.witness_keys import WitnessKey, WitnessVerifyKey

_URL = r"^https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?\Z"
Url = Annotated[str, msgspec.Meta(pattern=_URL, max_length=300)]
"""Scheme, host and port: what a log-in and a pinned certificate hold for."""

_LABEL = b"darklantern relay v1\n"
_SEEDS = 4


@final
class RelayPublic(Identified, frozen=True, kw_only=True):
    """What others know of a relay."""

    v: Literal[1] = 1
    log: LogVerifyKey
    """verifies the checkpoints of the logs that it appends to"""
    witness: WitnessVerifyKey
    """verifies its cosignatures over others' checkpoints"""
    auth: Ed25519Bytes
    """verifies its log-in at other relays, where it comes as a mirror"""

    @property
    def witness_name(self) -> str:
        """The name of its cosignatures."""
        return f"darklantern/witness/{self.witness.id}"


@final
class RelayCard(Value, frozen=True, kw_only=True):
    """All that it takes to reach a relay and to know that it is the right one."""

    v: Literal[1] = 1
    public: RelayPublic
    urls: Annotated[tuple[Url, ...], msgspec.Meta(min_length=1, max_length=16)]
    """where it listens, the best first"""
    certificate: Annotated[bytes, msgspec.Meta(min_length=1, max_length=16384)] | None
    """the one TLS certificate that it shows, in DER; None where it is reached without TLS, on loopback or by Tor"""


@final
class RelayKey(Secret):
    """The secret keys of one relay: two sign its logs, one cosigns others', one logs in where it mirrors.

    Raises RecordError when two of them are the same key: what was signed in one role would count in another.
    """

    __slots__ = ("_auth", "log", "witness")

    def __init__(self, log: LogKey, witness: WitnessKey, auth_seed: bytes) -> None:
        self.log: Final = log
        self.witness: Final = witness
        self._auth: Final = Ed25519PrivateKey.from_private_bytes(require_seed(auth_seed))
        if len(set(self._seeds())) != _SEEDS:
            raise RecordError(
                f"expected {_SEEDS} different keys, got one key in two roles", hint="make new ones: RelayKey.generate()"
            )

    @classmethod
    def generate(cls) -> "RelayKey":
        """New keys from the system's random source."""
        return cls(LogKey.generate(), WitnessKey.generate(), os.urandom(SEED))

    @classmethod
    def from_bytes(cls, data: bytes) -> "RelayKey":
        """The keys that `to_bytes` wrote. Raises RecordError for anything else."""
        *log, witness, auth = unpack(_LABEL, data, _SEEDS)
        return cls(LogKey(log), WitnessKey([witness]), auth)

    def to_bytes(self) -> bytes:
        """The secret itself. Keep it where only the relay reads it."""
        return pack(_LABEL, *self._seeds())

    @property
    def public(self) -> RelayPublic:
        """The half that may be shown to anyone."""
        return RelayPublic(
            log=self.log.public, witness=self.witness.public, auth=self._auth.public_key().public_bytes_raw()
        )

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the public half."""
        return self.public.fingerprint

    def sign_login(self, message: bytes) -> bytes:
        """The Ed25519 signature over a `login_message`."""
        return self._auth.sign(message)

    def _seeds(self) -> list[bytes]:
        return [*self.log.seeds(), *self.witness.seeds(), self._auth.private_bytes_raw()]
