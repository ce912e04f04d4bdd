"""The circle: a group of orgs' people, what it asks of them, and the terms that only they may read.

In: a circle's public record and its terms. Out: nothing, or RefusedError naming the rule. The
record, which relays and other members see, carries a salted hash of the terms; the terms
themselves (name, level, tags) travel inside each sealed epoch.
"""

import hashlib
import os
from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec

from darklantern.errors import RefusedError
from darklantern.network.pledges import PledgeText
from darklantern.network.rosters import Count
from darklantern.records.assessments import LEVEL_NAMES, Level
from darklantern.records.exact import Name, Sha256, Value, encode
from darklantern.sealing import LogVerifyKey

History = Literal["all", "since-join", "none"]
"""What a newcomer may read of the past."""

TAGS: Final = frozenset({"use:safety-only", "no-index", "airgap-only"})
"""Markings with a meaning here. One that is unknown could ask for anything, so it means nobody."""

LEVELS: Final[tuple[Level, ...]] = ("V1", "V2")
"""Levels that this version can keep. V0 is public; V3 and V4 need countersigned devices."""

Salt = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Admin(Value, frozen=True, kw_only=True):
    """A person whose devices sign for the circle."""

    org: Name
    person: Name


class Terms(Value, frozen=True, kw_only=True):
    """What members know of their circle and nobody else does."""

    v: Literal[1] = 1
    salt: Salt
    """random, so that the hash of so short a text cannot be guessed"""
    name: Name
    level: Level
    tags: tuple[str, ...] = ()

    @property
    def commitment(self) -> Sha256:
        """What the circle's record says of these terms."""
        return hashlib.sha256(encode(self)).hexdigest()


class Circle(Value, frozen=True, kw_only=True):
    """The public half of a circle. Its id is the id of the envelope around it."""

    v: Literal[1] = 1
    orgs: tuple[Name, ...]
    """whose people may be members; nobody else ever is"""
    pledge: PledgeText
    admins: tuple[Admin, ...]
    quorum: Count
    """how many distinct admins sign for the circle"""
    history: History
    freshness: Count
    """seconds after the newest checkpoint at which a view counts as stale, and sealing stops"""
    log: LogVerifyKey
    """signs the checkpoints of the circle's log: the one who may append"""
    terms: Sha256


def new_terms(name: str, level: Level, tags: Iterable[str] = ()) -> Terms:
    """Terms with a fresh salt. Raises RefusedError for a level or a tag that this version cannot keep."""
    terms = Terms(salt=os.urandom(32), name=name, level=level, tags=tuple(tags))
    check_terms(terms)
    return terms


def check_terms(terms: Terms) -> None:
    """Raises RefusedError for a level or a tag that this version cannot keep."""
    if terms.level not in LEVELS:
        raise RefusedError(
            f"a circle at {terms.level} {LEVEL_NAMES[terms.level]}: this version keeps circles at {', '.join(LEVELS)}",
            hint="V0 is public and needs no circle; V3 and V4 need countersigned devices, which are not there yet",
        )
    check_tags(terms.tags)


def check_tags(tags: Iterable[str]) -> None:
    """Raises RefusedError for a marking without a meaning here: unknown means nobody."""
    unknown = sorted(set(tags) - TAGS)
    if unknown:
        raise RefusedError(
            f"tag {unknown[0]!r} is unknown, and an unknown marking may not be ignored",
            hint=f"this version knows {', '.join(sorted(TAGS))}",
        )


def check_circle(circle: Circle, trusted: Iterable[str]) -> None:
    """Raises RefusedError for a circle of nobody, of unknown orgs, or that one admin could control.

    `trusted` are the orgs of the roster.
    """
    unknown = sorted(set(circle.orgs) - set(trusted))
    if not circle.orgs or unknown or len(set(circle.orgs)) != len(circle.orgs):
        raise _refused("orgs of the roster, each once", f"{', '.join(unknown)} (unknown)" if unknown else "others")
    if len(circle.admins) < 2 or len(set(circle.admins)) != len(circle.admins):
        raise _refused("at least two different admins, so that losing one loses no circle", f"{len(circle.admins)}")
    if not len(circle.admins) < 2 * circle.quorum <= 2 * len(circle.admins):
        raise _refused(f"a quorum of more than half of {len(circle.admins)} admins", f"{circle.quorum}")


def check_signed(circle: Circle, admins: Iterable[tuple[str, str]]) -> None:
    """Raises RefusedError unless enough distinct admins (org, person) signed."""
    signed = {(admin.org, admin.person) for admin in circle.admins} & set(admins)
    if len(signed) < circle.quorum:
        raise _refused(f"signatures of {circle.quorum} distinct admins", f"{len(signed)}")


def _refused(expected: str, got: str) -> RefusedError:
    return RefusedError(f"circle: expected {expected}, got {got}", hint="its admins must sign another record")
