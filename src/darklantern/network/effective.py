"""Who is in a circle: the intersection of the circle, active orgs, unrevoked devices and valid pledges.

In: a network's state, a circle and a time. Out: the members, and for every candidate who is not
one, the reason. Whatever is empty or unknown means nobody.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from darklantern.errors import RefusedError
from darklantern.network import pledges
from darklantern.network.circles import Circle, Removal
from darklantern.network.clock import seconds
from darklantern.network.manifests import OrgManifest, Person
from darklantern.network.states import Fork, NetworkState, Owner
from darklantern.network.vouching import counting
from darklantern.sealing import DevicePublic
from darklantern.sealing.fingerprints import brief


@dataclass(frozen=True)
class Member:
    """A device to which the circle's epoch is sealed, and whose it is."""

    device: DevicePublic
    id: str
    org: str
    person: str


@dataclass(frozen=True)
class Excluded:
    """A candidate who is not a member: an org, a person of it, or one device of theirs."""

    org: str
    person: str | None
    device: str | None
    reason: str

    def __str__(self) -> str:
        who = " ".join(part for part in (self.person, f"of {self.org}" if self.person else self.org) if part)
        return f"{who}{f' (device {brief(self.device)})' if self.device else ''}: {self.reason}"


@dataclass(frozen=True)
class Effective:
    """The members of a circle at one time, and everybody's reason who is not one."""

    members: tuple[Member, ...]
    excluded: tuple[Excluded, ...]

    @property
    def ids(self) -> frozenset[str]:
        """The members' device ids."""
        return frozenset(member.id for member in self.members)

    @property
    def persons(self) -> frozenset[tuple[str, str]]:
        """The members as (org, person)."""
        return frozenset((member.org, member.person) for member in self.members)

    def explain(self, device: str) -> str:
        """Why the device is not a member, or that it is one."""
        if device in self.ids:
            return "is a member"
        own = [excluded.reason for excluded in self.excluded if excluded.device == device]
        return own[0] if own else "is in no manifest of the circle's orgs"


def effective(state: NetworkState, circle_id: str, now: int, frozen: Mapping[str, Fork] | None = None) -> Effective:
    """The members of a circle at `now`, sorted by device id, with a reason for each candidate left out.

    `frozen` are devices caught signing two records at one place in the circle's own log; those
    caught in the network's log are known from `state`. Raises RefusedError for a circle that is not in `state`.
    """
    circle = state.circle(circle_id)
    if circle is None:
        raise RefusedError(f"no record founds the circle {circle_id[:8]}…", hint="unknown means nobody")
    return _judged(state, circle_id, circle, now, frozen)


def _judged(
    state: NetworkState, circle_id: str, circle: Circle, now: int, frozen: Mapping[str, Fork] | None
) -> Effective:
    judging = _Judging(state, circle_id, circle, now, frozenset((*state.frozen, *(frozen or ()))))
    orgs = dict.fromkeys((*circle.orgs, *(named.org for named in circle.people)))
    found = [each for org in orgs for each in judging.candidates(org)]
    members = (each for each in found if isinstance(each, Member))
    return Effective(
        members=tuple(sorted(members, key=lambda member: member.id)),
        excluded=tuple(each for each in found if isinstance(each, Excluded)),
    )


def to_sign(
    state: NetworkState, circle_id: str, device: str, now: int, frozen: Mapping[str, Fork] | None = None
) -> tuple[pledges.PledgeText, ...]:
    """The pledges that the device's person has yet to sign, where these alone keep it out of the circle at `now`.

    None where something else does, too, and where they broke one of them: no signature mends that. `frozen` as for
    `effective`.
    """
    circle, standing = state.circle(circle_id), state.devices.get(device)
    if circle is None or standing is None:
        return ()
    asked = tuple(pledge for pledge, _ in _wanting(state, circle, standing.owner, now))
    broken = {breach.pledge for breach in state.broken_by(standing.owner)}
    if not asked or any(pledge.name in broken for pledge in asked):
        return ()
    asking_nothing = msgspec.structs.replace(circle, pledges=())
    return asked if device in _judged(state, circle_id, asking_nothing, now, frozen).ids else ()


def _wanting(state: NetworkState, circle: Circle, owner: Owner, now: int) -> Iterator[tuple[pledges.PledgeText, str]]:
    """The pledges that a circle asks for and an (org, person) lacks at `now`, each with the reason."""
    signed, broken = state.pledges.get(owner, ()), state.broken_by(owner)
    for asked in circle.pledges:
        reason = pledges.missing(asked, signed, broken, now)
        if reason:
            yield asked, reason


class _Judging:
    """One circle at one time."""

    def __init__(self, state: NetworkState, circle_id: str, circle: Circle, now: int, caught: frozenset[str]) -> None:
        self._state = state
        self._circle = circle
        self._now = now
        self._caught = caught
        self._removed = state.removed_from(circle_id)
        barred = caught | {id for id, each in state.devices.items() if self._is_removed(each.owner, id)}
        self._counting = counting(circle_id, circle, state.vouches, barred, now) if circle.countersigned else None

    def _is_removed(self, owner: tuple[str, str], device: str) -> bool:
        return any((each.org, each.person) == owner and each.device in (None, device) for each in self._removed)

    def candidates(self, org: str) -> Iterator[Member | Excluded]:
        manifest = self._state.manifest(org)
        refused = _org_refused(self._state, org, self._now)
        if manifest is None:
            yield Excluded(org, None, None, refused or "has published no manifest of its people")
            return
        for person in manifest.people:
            if not self._circle.admits(org, person.id):
                continue
            why = refused or self._person_refused(org, person)
            if not person.devices:
                yield Excluded(org, person.id, None, why or "has no device")
            for device in person.devices:
                device_id = device.id
                reason = why or self._device_refused(org, person, device_id)
                if reason:
                    yield Excluded(org, person.id, device_id, reason)
                else:
                    yield Member(device, device_id, org, person.id)
        yield from _gone(self._state, self._circle, org, manifest)

    def _person_refused(self, org: str, person: Person) -> str | None:
        owner = (org, person.id)
        for removal in self._removed:
            if (removal.org, removal.person) == owner and removal.device is None:
                return _removed(removal)
        return next((reason for _, reason in _wanting(self._state, self._circle, owner, self._now)), None)

    def _device_refused(self, org: str, person: Person, device: str) -> str | None:
        if device in self._caught:
            return "signed two records at one place; frozen"
        for removal in self._removed:
            if (removal.org, removal.person, removal.device) == (org, person.id, device):
                return _removed(removal)
        if self._counting is not None and device not in self._counting:
            return "nobody has vouched for the device, which this circle asks for"
        return None


def _removed(removal: Removal) -> str:
    return f"an admin removed {'the person' if removal.device is None else 'the device'}: {removal.reason}"


def _org_refused(state: NetworkState, org: str, now: int) -> str | None:
    """Why nobody of `org` counts, or None."""
    roster = state.roster
    if roster is None:
        return "there is no roster yet"
    if state.roster_fork:
        return "two rosters claim to follow the same version; nothing is sealed until the roots settle it"
    if seconds(roster.until) <= now:
        return f"the roster expired on {roster.until}"
    if roster.org(org) is None:
        gone = [each for each in roster.expelled if each.name == org]
        why = f", expelled on {gone[-1].time}: {gone[-1].reason}" if gone else ""
        return f"the org is not in roster version {roster.version}{why}"
    if org in state.org_forks:
        return "the org signed two manifests that claim to follow the same version"
    return None


def _gone(state: NetworkState, circle: Circle, org: str, manifest: OrgManifest) -> Iterator[Excluded]:
    """Devices that an earlier manifest of the org listed and this one does not."""
    listed = {device.id for person in manifest.people for device in person.devices}
    people: dict[str, Person] = {person.id: person for person in manifest.people}
    for device_id, standing in state.devices.items():
        if standing.org != org or device_id in listed or not circle.admits(org, standing.person):
            continue
        if device_id in manifest.revoked:
            reason = f"the device was revoked by manifest version {manifest.version}"
        elif standing.person in people:
            reason = f"the device is not in manifest version {manifest.version}"
        else:
            reason = f"the person is not in manifest version {manifest.version}"
        yield Excluded(org, standing.person, device_id, reason)
