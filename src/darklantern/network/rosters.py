"""The roster: which orgs a network trusts, and the keys that say so.

In: a roster, its signers, the roster before it. Out: nothing, or RefusedError naming the rule.
Trust comes from distinct orgs: a person with ten keys, or an org with ten roots, still counts once.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec

from darklantern.errors import RefusedError, refusing
from darklantern.network.naming import check_apart, check_name
from darklantern.network.notes import Note
from darklantern.records.exact import Name, Reason, Sha256, Time, Value
from darklantern.sealing import LogVerifyKey, RelayCard, VerifyKey

_refused = refusing(
    RefusedError, "roster", hint="the network's roots decide together; ask the one who sent this roster who signed it"
)

MIN_ROOT_ORGS = 3
Count = Annotated[int, msgspec.Meta(ge=1)]


class NetworkRoot(Value, frozen=True, kw_only=True):
    """A key that signs rosters for one org."""

    org: Name
    key: VerifyKey


class OrgRoot(Value, frozen=True, kw_only=True):
    """A person's key that signs the manifest of their org, and nothing else."""

    person: Name
    key: VerifyKey


class Org(Value, frozen=True, kw_only=True):
    """A trusted org: `threshold` distinct persons of its roots sign its manifest."""

    name: Name
    roots: tuple[OrgRoot, ...]
    threshold: Count
    admitted: Time
    reason: Reason
    """why the network trusts it"""


class Expelled(Value, frozen=True, kw_only=True):
    """An org that the network trusted, until when and why no longer. The entry stays if it is ever admitted again."""

    name: Name
    time: Time
    reason: Reason


class Relay(Value, frozen=True, kw_only=True):
    """A relay of a trusted org: where it is, and the keys by which it is known."""

    name: Name
    org: Name
    card: RelayCard


class Roster(Value, frozen=True, kw_only=True):
    """One version of the list of trusted orgs. Version 1 is what a newcomer pins."""

    v: Literal[1] = 1
    name: Name
    version: Count
    previous: Sha256 | None
    """envelope id of the version before; None for version 1"""
    settles: Sha256 | None = None
    """where two claimed to be the version before: the other one, which this one sets aside"""
    until: Time
    """from then on nothing is sealed under it; reading goes on"""
    threshold: Count
    """how many distinct orgs must sign"""
    roots: tuple[NetworkRoot, ...]
    orgs: tuple[Org, ...]
    log: LogVerifyKey
    """signs the checkpoints of the network's own log"""
    moving: LogVerifyKey | None = None
    """the key to which the log is about to move: from here on only rosters are appended to it until it has"""
    final: Note | None = None
    """where `log` is another key than before: the last checkpoint by the old one, over all before this record"""
    expelled: tuple[Expelled, ...] = ()
    relays: tuple[Relay, ...] = ()
    """that members sync with, and whose cosignatures count"""

    def org(self, name: str) -> Org | None:
        """The org of that name, or None when this roster does not trust it."""
        return next((org for org in self.orgs if org.name == name), None)

    def keys(self) -> dict[str, VerifyKey]:
        """Key id → network root."""
        return {root.key.id: root.key for root in self.roots}


def check_roster(roster: Roster) -> None:
    """Raises RefusedError for a roster that one org could control, or that lists anything twice."""
    root_orgs = {root.org for root in roster.roots}
    if len(root_orgs) < MIN_ROOT_ORGS:
        raise _refused(f"roots in at least {MIN_ROOT_ORGS} different orgs", f"{len(root_orgs)}")
    if not len(root_orgs) < 2 * roster.threshold <= 2 * len(root_orgs):
        raise _refused(f"a threshold of more than half and at most all of {len(root_orgs)} orgs", f"{roster.threshold}")
    if not _distinct(org.name for org in roster.orgs) or not roster.orgs:
        raise _refused("one or more orgs, each once", "none, or a name twice")
    check_name(roster.name)
    check_apart(org.name for org in roster.orgs)
    check_apart(relay.name for relay in roster.relays)
    for org in roster.orgs:
        if not _distinct(root.person for root in org.roots) or org.threshold > len(org.roots):
            raise _refused(
                f"{org.name!r} to have one root for each person, and a threshold that they can reach", "other"
            )
    if not _distinct(relay.name for relay in roster.relays) or not _distinct(relay_parts(roster)):
        raise _refused("each relay once, with keys of its own", "a name or a key twice")
    homeless = [relay.name for relay in roster.relays if roster.org(relay.org) is None]
    if homeless:
        raise _refused("relays of its own orgs", f"{homeless[0]!r} of another")
    if not _distinct((*root_parts(roster), roster.log.ed25519)):
        raise _refused("each root key once, in one role", "one key twice")


def check_signed(roster: Roster, signers: Iterable[str]) -> None:
    """Raises RefusedError unless network roots of enough distinct orgs of `roster` are among the signers."""
    signed = set(signers)
    orgs = {root.org for root in roster.roots if root.key.id in signed}
    if len(orgs) < roster.threshold:
        raise _refused(
            f"signatures of {roster.threshold} distinct orgs of version {roster.version}",
            f"{len(orgs)} ({', '.join(sorted(orgs)) or 'none'})",
        )


def check_successor(old: Roster, old_id: str, new: Roster) -> None:
    """Raises RefusedError unless `new` is the next version after `old`. Signatures are judged apart."""
    if new.version != old.version + 1 or new.previous != old_id:
        raise _refused(
            f"version {old.version + 1} after {old_id}", f"version {new.version} after {new.previous or 'nothing'}"
        )
    gone = {org.name for org in old.orgs} - {org.name for org in new.orgs}
    if not gone <= {each.name for each in new.expelled} or not set(old.expelled) <= set(new.expelled):
        raise _refused("each org that leaves among the expelled, with a date and a reason", "one that is not, or fewer")


def root_parts(roster: Roster) -> Iterator[bytes]:
    """Each algorithm's part of each root key, so that one half of a key cannot be reused under a new id."""
    for key in (*(root.key for root in roster.roots), *(root.key for org in roster.orgs for root in org.roots)):
        yield from (key.ed25519, key.mldsa65)


def relay_parts(roster: Roster) -> Iterator[bytes]:
    """Each key with which a relay cosigns or logs in."""
    for relay in roster.relays:
        yield from (relay.card.public.witness.mldsa44, relay.card.public.auth)


def _distinct(values: Iterable[object]) -> bool:
    everything = list(values)
    return len(set(everything)) == len(everything)
