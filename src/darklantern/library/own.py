"""What is a library's own and in no log: root keys, open invitations, and ratings that are not revealed yet.

In: secrets by name. Out: the same as values, and what to write where they differ. Secret: it does not print.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from darklantern.network.invitations import Code, Invitation, Request
from darklantern.network.secret_values import SecretValue
from darklantern.records.exact import decode, encode
from darklantern.records.ratings import Rating
from darklantern.sealing import SigningKey

RootRole = Literal["network", "org"]
"""Of the network: signs rosters. Of an org: signs its manifests."""

_ROLES: Final[tuple[RootRole, ...]] = ("network", "org")
_ROOT: Final = "root "
_INVITED: Final = "invited "
_ANSWERED: Final = "answered"
_UNREVEALED: Final = "unrevealed "


class Invited(SecretValue, frozen=True, kw_only=True):
    """An invitation that this library has given and nobody has answered yet."""

    code: Code
    invitation: Invitation


class Answered(SecretValue, frozen=True, kw_only=True):
    """An invitation that this library has answered, until it is welcomed."""

    code: Code
    invitation: Invitation
    request: Request


class Unrevealed(SecretValue, frozen=True, kw_only=True):
    """A first-round rating that was committed to, until it is revealed. Without it nobody could."""

    rating: Rating
    nonce: str


@dataclass(frozen=True, repr=False)
class Own:
    """Secrets besides the device's keys."""

    roots: Mapping[RootRole, tuple[SigningKey, ...]] = field(default_factory=dict)
    """newest last: an older one signs until what names it is replaced"""
    invited: Mapping[str, Invited] = field(default_factory=dict)
    """invitation id → code"""
    answered: Answered | None = None
    unrevealed: Mapping[str, Unrevealed] = field(default_factory=dict)
    """panel id → what this person committed to there"""


def load_own(secrets: Mapping[str, bytes]) -> Own:
    """What the store holds. Raises RecordError."""
    return Own(
        roots={role: keys for role in _ROLES if (keys := _root_keys(secrets, role))},
        invited={
            name.removeprefix(_INVITED): decode(Invited, data)
            for name, data in secrets.items()
            if name.startswith(_INVITED)
        },
        answered=decode(Answered, secrets[_ANSWERED]) if _ANSWERED in secrets else None,
        unrevealed={
            name.removeprefix(_UNREVEALED): decode(Unrevealed, data)
            for name, data in secrets.items()
            if name.startswith(_UNREVEALED)
        },
    )


def own_secrets(own: Own) -> dict[str, bytes]:
    """Name in the store → bytes."""
    found = {
        f"{_ROOT}{role} {place}": key.to_bytes() for role, keys in own.roots.items() for place, key in enumerate(keys)
    }
    found |= {f"{_INVITED}{id}": encode(invited) for id, invited in own.invited.items()}
    found |= {f"{_UNREVEALED}{id}": encode(rating) for id, rating in own.unrevealed.items()}
    return found | ({_ANSWERED: encode(own.answered)} if own.answered else {})


def _root_keys(secrets: Mapping[str, bytes], role: RootRole) -> tuple[SigningKey, ...]:
    prefix = f"{_ROOT}{role} "
    places = sorted(int(name.removeprefix(prefix)) for name in secrets if name.startswith(prefix))
    return tuple(SigningKey.from_bytes(secrets[f"{prefix}{place}"]) for place in places)
