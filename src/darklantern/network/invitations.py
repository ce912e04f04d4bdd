"""Invitations: how somebody who is not there joins by any channel, on the strength of one spoken code.

    inviter → joiner   invitation   the network's id, the inviter's card              MAC under the code
    joiner → inviter   request      the joiner's card                                MAC over both cards
    inviter → joiner   welcome      the network's first roster, its relays           MAC over all of it

In: cards, a code and what came. Out: what goes back, or an error. Only public keys travel. The code never does: it is
said aloud, or sent by another channel. 128 random bits cannot be searched, so a MAC under it may be seen by anybody;
the inviter takes one request, right or wrong, and then forgets the code.
"""

import hashlib
import hmac
import os
from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec

from darklantern.errors import RefusedError
from darklantern.network.cards import Card, check_card
from darklantern.network.secret_values import SecretValue
from darklantern.records.exact import Sha256, Time, Value, encode
from darklantern.sealing import Envelope, RelayCard, envelope_id
from darklantern.sealing.fingerprints import fingerprint

CODE: Final = 16
"""bytes"""
_CHECK_BITS: Final = 22
_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O or U, which are misread
_LENGTH: Final = (8 * CODE + _CHECK_BITS) // 5
_GROUP: Final = 5

Mac = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Code(SecretValue, frozen=True, kw_only=True):
    """The secret that both sides know. It is shown once, and typed once."""

    secret: Annotated[bytes, msgspec.Meta(min_length=CODE, max_length=CODE)]

    def spoken(self) -> str:
        """Six groups of five letters and digits, the last four of which find nearly all slips of the tongue."""
        number = int.from_bytes(self.secret) << _CHECK_BITS | _check(self.secret)
        letters = "".join(_LETTERS[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))
        return "-".join(letters[i : i + _GROUP] for i in range(0, _LENGTH, _GROUP))


class Invitation(Value, frozen=True, kw_only=True):
    """What the inviter gives, by any channel."""

    v: Literal[1] = 1
    nonce: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    net: Sha256
    network: Annotated[str, msgspec.Meta(max_length=200)]
    """what the network is called"""
    until: Time
    inviter: Card
    mac: Mac

    @property
    def id(self) -> str:
        """SHA-256 of its exact bytes."""
        return hashlib.sha256(encode(self)).hexdigest()


class Request(Value, frozen=True, kw_only=True):
    """What the joiner answers."""

    v: Literal[1] = 1
    invitation: Sha256
    card: Card
    mac: Mac


class Welcome(Value, frozen=True, kw_only=True):
    """What the joiner gets: the first roster, whose id is the network's name, and relays to sync with."""

    v: Literal[1] = 1
    invitation: Sha256
    request: Sha256
    genesis: Envelope
    relays: tuple[RelayCard, ...] = ()
    """of the roster: where the network is to be had"""
    mac: Mac


def new_code() -> Code:
    """A code from the system's random source."""
    return Code(secret=os.urandom(CODE))


def parse_code(typed: str) -> Code:
    """The code that somebody typed, in any case, with or without dashes. Raises RefusedError for a slip."""
    letters = "".join(typed.split()).replace("-", "").upper().translate(str.maketrans("OIL", "011"))
    if len(letters) == _LENGTH and set(letters) <= set(_LETTERS):
        number = 0
        for letter in letters:
            number = number << 5 | _LETTERS.index(letter)
        secret = (number >> _CHECK_BITS).to_bytes(CODE)
        if number & (1 << _CHECK_BITS) - 1 == _check(secret):
            return Code(secret=secret)
    raise RefusedError(
        f"this is no invitation code: expected {_LENGTH} letters and digits in groups of {_GROUP}, with their checksum",
        hint="compare it with the one that was told to you, letter by letter; nothing was sent",
    )


def invite(code: Code, net: str, network: str, until: Time, inviter: Card) -> Invitation:
    """An invitation under a fresh nonce."""
    check_card(inviter)
    blank = Invitation(nonce=os.urandom(16), net=net, network=network, until=until, inviter=inviter, mac=bytes(32))
    return msgspec.structs.replace(blank, mac=_mac(code, b"invitation", encode(blank)))


def answer(code: Code, invitation: Invitation, card: Card) -> Request:
    """The joiner's request. Raises RefusedError where the invitation was not made under this code."""
    blank = msgspec.structs.replace(invitation, mac=bytes(32))
    if not hmac.compare_digest(_mac(code, b"invitation", encode(blank)), invitation.mac):
        raise RefusedError(
            "the code does not belong to this invitation, or the invitation was altered on its way",
            hint="ask for the code again, by another channel; if it is right, somebody has changed the file",
        )
    check_card(card)
    mac = _mac(code, b"request", encode(invitation), encode(card))
    return Request(invitation=invitation.id, card=card, mac=mac)


def check_request(code: Code, invitation: Invitation, request: Request) -> None:
    """Raises RefusedError unless the request was made with the code, for this invitation and this card."""
    expected = _mac(code, b"request", encode(invitation), encode(request.card))
    if request.invitation != invitation.id or not hmac.compare_digest(expected, request.mac):
        raise RefusedError(
            "the request was not made with the code of this invitation, which is burnt now",
            hint="somebody has guessed or altered it: tell the person whom you meant, and invite them anew",
        )
    check_card(request.card)


def welcome(
    code: Code, invitation: Invitation, request: Request, genesis: Envelope, relays: Iterable[RelayCard] = ()
) -> Welcome:
    """The inviter's answer to a request that was checked."""
    blank = Welcome(
        invitation=invitation.id,
        request=hashlib.sha256(encode(request)).hexdigest(),
        genesis=genesis,
        relays=tuple(relays),
        mac=bytes(32),
    )
    return msgspec.structs.replace(blank, mac=_mac(code, b"welcome", encode(blank)))


def check_welcome(code: Code, invitation: Invitation, request: Request, came: Welcome) -> None:
    """Raises RefusedError unless the welcome answers this request, by the same code, into the network of before."""
    blank = msgspec.structs.replace(came, mac=bytes(32))
    named = (came.invitation, came.request, envelope_id(came.genesis))
    if named != (invitation.id, hashlib.sha256(encode(request)).hexdigest(), invitation.net) or not (
        hmac.compare_digest(_mac(code, b"welcome", encode(blank)), came.mac)
    ):
        raise RefusedError(
            "the welcome does not answer this library's request, or was altered on its way",
            hint="ask whoever invited you for it again; nothing was joined",
        )


def comparison(invitation: Invitation, card: Card) -> str:
    """The fingerprint over both sides' cards that both sides show: the same on both, or somebody stands between."""
    return fingerprint(b"darklantern 2026 invitation, both sides\n" + _joined(encode(invitation), encode(card)))


def _mac(code: Code, role: bytes, *parts: bytes) -> bytes:
    """Under a key of its own for each role, so that no message can be sent back as another."""
    key = hmac.digest(code.secret, b"darklantern 2026 " + role + b" v1", "sha256")
    return hmac.digest(key, _joined(*parts), "sha256")


def _joined(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(8) + part for part in parts)


def _check(secret: bytes) -> int:
    digest = hashlib.sha256(b"darklantern 2026 checksum of a code\n" + secret).digest()
    return int.from_bytes(digest[:3]) >> 24 - _CHECK_BITS
