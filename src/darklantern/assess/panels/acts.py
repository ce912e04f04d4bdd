"""An act with who did it, and a commitment to a rating."""

import hashlib
from dataclasses import dataclass

from darklantern.records.exact import Sha256, Time, encode
from darklantern.records.ratings import Act, Person, Rating


@dataclass(frozen=True)
class Done:
    """An act as it stands in the circle's log."""

    id: Sha256
    who: Person
    """whose key signed it, by the roster"""
    time: Time
    """its author's word"""
    act: Act


@dataclass(frozen=True)
class Refused:
    """An act that counts for nothing."""

    id: Sha256
    who: Person
    why: str


def commitment(rating: Rating, nonce: str) -> Sha256:
    """SHA-256 of a rating's exact bytes and the nonce's 32 bytes, which keeps short ratings from being guessed."""
    return hashlib.sha256(encode(rating) + bytes.fromhex(nonce)).hexdigest()
