"""The circle: whom it takes in, what it asks of them, and the terms that only they may read.

In: a circle's public record and its terms. Out: nothing, or RefusedError naming the rule. The
record, which relays and other members see, carries a salted hash of the terms; the terms
themselves (name, level, tags) travel inside each sealed epoch.
"""

import hashlib
import os
from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec

from darklantern.errors import RefusedError, refusing
from darklantern.network.notes import Note
from darklantern.network.pledges import PledgeText
from darklantern.network.rosters import Count
from darklantern.records.assessments import LEVEL_NAMES, Level
from darklantern.records.exact import Name, Reason, Sha256, Value, encode
from darklantern.sealing import LogVerifyKey

_refused = refusing(RefusedError, "circle", hint="its admins must sign another record")

History = Literal["all", "since-join", "none"]
"""What a newcomer may read of the past."""

TAGS: Final = frozenset({"use:safety-only", "no-index", "airgap-only"})
"""Markings with a meaning here. One that is unknown could ask for anything, so it means nobody."""

LEVELS: Final[tuple[Level, ...]] = ("V1", "V2", "V3", "V4")
"""Levels that a circle can have: V0 is public."""

_CLOSED: Final[frozenset[Level]] = frozenset(("V3", "V4"))
_MONTH: Final = 30 * 24 * 60 * 60

Salt = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Admin(Value, frozen=True, kw_only=True):
    """A person whose devices sign for the circle."""

    org: Name
    person: Name


class Named(Value, frozen=True, kw_only=True):
    """A person who may be a member, and the devices of theirs that the circle's admins have compared in person."""

    org: Name
    person: Name
    devices: tuple[Sha256, ...] = ()


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
    """One version of the public half of a circle. The circle's id is the id of the envelope around the first."""

    v: Literal[1] = 1
    circle: Sha256 | None = None
    """None in the first"""
    version: Count = 1
    previous: Sha256 | None = None
    settles: Sha256 | None = None
    """where two claimed to be the version before: the other one, which this one sets aside"""
    orgs: tuple[Name, ...] = ()
    """all of whose people may be members"""
    people: tuple[Named, ...] = ()
    """who else may; nobody beyond these ever is"""
    pledges: tuple[PledgeText, ...]
    """all of which a member must have signed"""
    admins: tuple[Admin, ...]
    quorum: Count
    """how many distinct admins sign for the circle"""
    history: History
    freshness: Count
    """seconds after the newest checkpoint at which a view counts as stale, and sealing stops"""
    witnesses: Annotated[int, msgspec.Meta(ge=0)] = 0
    """how many other orgs' relays must have cosigned the newest checkpoints before anything is sealed"""
    rotation: Count | None = None
    """seconds after which an epoch is too old to seal to"""
    retention: Count | None = None
    """seconds after the end of an epoch at which its seed is destroyed"""
    countersigned: bool = False
    """whether a device counts only if `people` names it, or someone vouches for it: see `vouching`"""
    restored: tuple[Sha256, ...] = ()
    """removals that no longer hold; sorted"""
    log: LogVerifyKey
    """signs the checkpoints of the circle's log: the one who may append"""
    moving: LogVerifyKey | None = None
    """the key to which the log is about to move: from here on nobody appends to it until it has"""
    final: Note | None = None
    """where `log` is another key than before: the last checkpoint by the old one"""
    terms: Sha256
    """hash of the `Terms`; the same in all versions"""

    def admits(self, org: str, person: str) -> bool:
        """Whether this person may be a member, as far as the circle says."""
        return org in self.orgs or any((named.org, named.person) == (org, person) for named in self.people)

    def has_admin(self, owner: tuple[str, str]) -> bool:
        """Whether the (org, person) is an admin."""
        return any((admin.org, admin.person) == owner for admin in self.admins)


class Removal(Value, frozen=True, kw_only=True):
    """That one admin removes a person, or one device of theirs. It holds until a version of the circle restores it."""

    v: Literal[1] = 1
    circle: Sha256
    org: Name
    person: Name
    device: Sha256 | None = None
    reason: Reason


def new_terms(name: str, level: Level, tags: Iterable[str] = ()) -> Terms:
    """Terms with a fresh salt. Raises RefusedError for a level or a tag that this version cannot keep."""
    terms = Terms(salt=os.urandom(32), name=name, level=level, tags=tuple(tags))
    check_terms(terms)
    return terms


def check_terms(terms: Terms) -> None:
    """Raises RefusedError for a level or a tag that this version cannot keep."""
    if terms.level not in LEVELS:
        raise RefusedError(
            f"a circle at {terms.level} {LEVEL_NAMES[terms.level]}: circles have {', '.join(LEVELS)}",
            hint="V0 is public and needs no circle",
        )
    check_tags(terms.tags)


def check_closed(circle: Circle, terms: Terms) -> None:
    """Raises RefusedError for a circle laxer than its level allows. Only members can ask: the level is sealed."""
    if terms.level not in _CLOSED:
        return
    missing = [
        what
        for what, there in (
            ("people named one by one, and no whole org", not circle.orgs),
            ("countersigned devices", circle.countersigned),
            (f"epochs of at most {_MONTH // 86_400} days", (circle.rotation or _MONTH + 1) <= _MONTH),
            ("a retention, after which seeds are destroyed", circle.retention is not None),
        )
        if not there
    ]
    if missing:
        raise RefusedError(
            f"a circle at {terms.level} {LEVEL_NAMES[terms.level]} needs {'; '.join(missing)}",
            hint="its admins must sign a version of it that has them",
        )


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
    people = {(named.org, named.person) for named in circle.people}
    unknown = sorted({*circle.orgs, *(org for org, _ in people)} - set(trusted))
    if unknown:
        raise _refused("orgs of the roster", f"{', '.join(unknown)}, which is not in it")
    if not circle.orgs and not circle.people:
        raise _refused("an org or a person", "neither: empty means nobody")
    if len(set(circle.orgs)) != len(circle.orgs) or len(people) != len(circle.people):
        raise _refused("each org and each person once", "one twice")
    if not circle.pledges or len({pledge.name for pledge in circle.pledges}) != len(circle.pledges):
        raise _refused("one pledge or more, each name once", "none, or a name twice")
    if ((circle.circle, circle.previous) == (None, None)) != (circle.version == 1):
        raise _refused("version 1 to begin a circle, a later one to change it", f"version {circle.version}")
    if circle.retention is not None and circle.rotation is None:
        # What is kept is counted from the next epoch's time, which its author says.
        raise _refused("epochs that end where their seeds are destroyed one day", "a retention without a rotation")
    if list(circle.restored) != sorted(set(circle.restored)):
        raise _refused("restored removals sorted, each once", "another order")
    if len(circle.admins) < 2 or len(set(circle.admins)) != len(circle.admins):
        raise _refused("at least two different admins, so that losing one loses no circle", f"{len(circle.admins)}")
    if not len(circle.admins) < 2 * circle.quorum <= 2 * len(circle.admins):
        raise _refused(f"a quorum of more than half of {len(circle.admins)} admins", f"{circle.quorum}")


def check_successor(old: Circle, old_id: str, new: Circle) -> None:
    """Raises RefusedError unless `new` is the next version after `old`. Signatures are judged apart."""
    if new.version != old.version + 1 or new.previous != old_id:
        raise _refused(f"version {old.version + 1} after {old_id}", f"version {new.version} after {new.previous}")
    if new.terms != old.terms:
        raise _refused("the same terms", "others: what is at one level cannot move to another; found a new circle")
    if not set(old.restored) <= set(new.restored):
        raise _refused("what was restored to stay so", "fewer; remove the person again")


def check_signed(circle: Circle, admins: Iterable[tuple[str, str]]) -> None:
    """Raises RefusedError unless enough distinct admins (org, person) signed."""
    signed = {(admin.org, admin.person) for admin in circle.admins} & set(admins)
    if len(signed) < circle.quorum:
        raise _refused(f"signatures of {circle.quorum} distinct admins", f"{len(signed)}")
