"""Who is in a circle: the intersection of the circle, active orgs, unrevoked devices and valid pledges.

In: a network's state, a circle and a time. Out: the members, and for every candidate who is not
one, the reason. Whatever is empty or unknown means nobody.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from darklantern.network import pledges
from darklantern.network.circles import Circle
from darklantern.network.clock import seconds
from darklantern.network.manifests import OrgManifest, Person
from darklantern.network.states import Fork, NetworkState
from darklantern.sealing import DevicePublic


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
        return f"{who}{f' (device {self.device[:8]}…)' if self.device else ''}: {self.reason}"


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


def effective(state: NetworkState, circle: Circle, now: int, frozen: Mapping[str, Fork] | None = None) -> Effective:
    """The members of `circle` at `now`, sorted by device id, with a reason for each candidate left out.

    `frozen` are devices caught signing two records at one place in the circle's own log; those
    caught in the network's log are known from `state`.
    """
    caught = {**state.frozen, **(frozen or {})}
    found = [each for org in circle.orgs for each in _candidates(state, circle, org, now, caught)]
    members = (each for each in found if isinstance(each, Member))
    return Effective(
        members=tuple(sorted(members, key=lambda member: member.id)),
        excluded=tuple(each for each in found if isinstance(each, Excluded)),
    )


def _candidates(
    state: NetworkState, circle: Circle, org: str, now: int, caught: Mapping[str, Fork]
) -> Iterator[Member | Excluded]:
    manifest = state.manifest(org)
    refused = _org_refused(state, org, now)
    if manifest is None:
        yield Excluded(org, None, None, refused or "has published no manifest of its people")
        return
    for person in manifest.people:
        why = refused or pledges.missing(circle.pledge, state.pledges.get((org, person.id), ()), now)
        if not person.devices:
            yield Excluded(org, person.id, None, "has no device")
        for device in person.devices:
            device_id = device.id
            reason = why or ("signed two records at one place; frozen" if device_id in caught else None)
            if reason:
                yield Excluded(org, person.id, device_id, reason)
            else:
                yield Member(device, device_id, org, person.id)
    yield from _gone(state, org, manifest)


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
        return f"the org is not in roster version {roster.version}"
    if org in state.org_forks:
        return "the org signed two manifests that claim to follow the same version"
    return None


def _gone(state: NetworkState, org: str, manifest: OrgManifest) -> Iterator[Excluded]:
    """Devices that an earlier manifest of the org listed and this one does not."""
    listed = {device.id for person in manifest.people for device in person.devices}
    people: dict[str, Person] = {person.id: person for person in manifest.people}
    for device_id, standing in state.devices.items():
        if standing.org != org or device_id in listed:
            continue
        if device_id in manifest.revoked:
            reason = f"the device was revoked by manifest version {manifest.version}"
        elif standing.person in people:
            reason = f"the device is not in manifest version {manifest.version}"
        else:
            reason = f"the person is not in manifest version {manifest.version}"
        yield Excluded(org, standing.person, device_id, reason)
