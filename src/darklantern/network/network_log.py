"""The rules of the network's own log: rosters, manifests, pledges and circles.

In: the state so far and a record. Out: the next state, or an error that names the rule. Nothing here
asks what time it is: what has expired still stands in the log, and stops sealing only.
"""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from darklantern.errors import RecordError, RefusedError
from darklantern.network import circles, manifests, rosters
from darklantern.network.chaining import check_seen, place
from darklantern.network.circles import Circle
from darklantern.network.clock import seconds
from darklantern.network.manifests import OrgManifest
from darklantern.network.pledges import Pledge
from darklantern.network.reading import Read
from darklantern.network.roles import check_role, log_parts
from darklantern.network.rosters import Roster
from darklantern.network.states import Fork, NetworkState, Trail, Version
from darklantern.records.record import NOBODY
from darklantern.sealing import VerifyKey, verify

State = TypeVar("State")


@dataclass(frozen=True)
class Verdict(Generic[State]):
    """The state after a record that is its signer's own. `refused` says why it does not count, if it does not.

    A record that is refused here still belongs in the log: it moves its device's chain on, or it proves
    a fork. One whose signer did not make it, or may not write at all, never gets a verdict but an error.
    """

    state: State
    refused: str | None = None


def judge(net: str, state: NetworkState, trail: Trail, read: Read) -> Verdict[NetworkState]:
    """What becomes of `read` as the next entry. Raises DarkLanternError when it does not belong in the log."""
    body = read.body
    if not state.rosters:
        return Verdict(_genesis(net, read))
    if (read.record.net, read.record.log) != (net, net):
        raise RefusedError("it belongs to another network or log", hint="a record counts only where it was signed for")
    check_seen(read.record, {net: trail}, frozenset())
    match body:
        case Roster():
            return _roster(state, trail.size, read, body)
        case OrgManifest():
            return _manifest(state, trail.size, read, body)
        case Pledge():
            return _pledge(state, trail.size, read, body)
        case Circle():
            return Verdict(_circle(state, read, body))
        case _:
            raise RefusedError(
                f"a record of kind {read.record.kind} stands in a circle's log, never in the network's",
                hint="its author must write it again",
            )


def _genesis(net: str, read: Read) -> NetworkState:
    """The first entry is the pinned one: its id is the network's name."""
    if read.id != net or not isinstance(read.body, Roster):
        raise RefusedError(
            f"expected the network's first roster, {net}, got {read.id}",
            hint="this is another network, or another first roster was pinned: compare ids with who invited you",
        )
    if (read.record.net, read.record.log, read.record.seen) != (NOBODY, NOBODY, {}):
        raise RefusedError(
            "a first roster cites a network", hint="nothing comes before it; its roots must sign another"
        )
    roster = read.body
    if (roster.version, roster.previous) != (1, None):
        raise RefusedError(f"expected roster version 1, got {roster.version}", hint="join by the first roster's id")
    rosters.check_roster(roster)
    rosters.check_signed(roster, verify(read.envelope, roster.keys()))
    return NetworkState(rosters=(Version(read.id, roster),))


def _roster(state: NetworkState, position: int, read: Read, roster: Roster) -> Verdict[NetworkState]:
    """Version n+1 is signed by a threshold of n and a threshold of n+1. Two valid ones stop sealing."""
    old = _version_before(state.rosters, roster.version, read)
    rosters.check_successor(old.body, old.id, roster)
    rosters.check_roster(roster)
    signers = verify(read.envelope, {**old.body.keys(), **roster.keys()})
    rosters.check_signed(old.body, signers)
    rosters.check_signed(roster, signers)
    check_role(state, "root", rosters.root_parts(roster))
    if roster.version <= len(state.rosters):
        fork = Fork(state.rosters[roster.version - 1].id, read.id, position)
        reason = f"a second roster version {roster.version}: sealing stops until the roots settle which one counts"
        return Verdict(replace(state, roster_fork=state.roster_fork or fork), reason)
    return Verdict(replace(state, rosters=(*state.rosters, Version(read.id, roster))))


def _manifest(state: NetworkState, position: int, read: Read, manifest: OrgManifest) -> Verdict[NetworkState]:
    """Signed by enough distinct persons among the org's roots, as the newest roster lists them."""
    org = state.roster.org(manifest.org) if state.roster else None
    if org is None:
        raise RefusedError(f"the org {manifest.org!r} is not in the roster", hint="its roster entry comes first")
    versions = state.manifests.get(manifest.org, ())
    old = _version_before(versions, manifest.version, read) if manifest.version > 1 else None
    manifests.check_successor(old.body if old else None, old.id if old else None, manifest)
    manifests.check_signed(manifest, org, verify(read.envelope, {root.key.id: root.key for root in org.roots}))
    manifests.check_manifest(manifest, state.devices)
    listed = manifests.standings(manifest)
    check_role(state, "device", (part for each in listed.values() for part in manifests.device_parts(each.device)))
    if manifest.version <= len(versions):
        fork = Fork(versions[manifest.version - 1].id, read.id, position)
        forks = {manifest.org: fork, **state.org_forks}
        return Verdict(replace(state, org_forks=forks), f"a second manifest version {manifest.version}: the org stops")
    return Verdict(
        replace(
            state,
            manifests={**state.manifests, manifest.org: (*versions, Version(read.id, manifest))},
            active={**state.active, manifest.org: frozenset(listed)},
            devices={**state.devices, **listed},
        )
    )


def _pledge(state: NetworkState, position: int, read: Read, pledge: Pledge) -> Verdict[NetworkState]:
    """Signed by an active device of the person whom it binds."""
    device = read.record.author_device
    if not state.is_active(device):
        raise RefusedError(f"device {device[:8]}… is in no current manifest", hint="its org must list it first")
    standing = state.devices[device]
    key = standing.device.signing
    verify(read.envelope, {key.id: key})
    placed = place(read.record, read.id, position, state.chains, state.frozen)
    if placed.fork:
        forked = replace(state, frozen={**state.frozen, device: placed.fork})
        return Verdict(forked, "a second record at one place of its device's chain; the device is frozen")
    state = replace(state, chains=placed.chains)
    if (pledge.org, pledge.person) != standing.owner:
        return Verdict(state, "it pledges for somebody else than its signer")
    try:
        seconds(pledge.until)  # or every later judgement of this person would fail
    except RecordError as error:
        return Verdict(state, error.message)
    signed = (*state.pledges.get(standing.owner, ()), pledge)
    return Verdict(replace(state, pledges={**state.pledges, standing.owner: signed}))


def _circle(state: NetworkState, read: Read, circle: Circle) -> NetworkState:
    """Signed by a quorum of its own admins, each with an active device."""
    roster = state.roster
    circles.check_circle(circle, (org.name for org in roster.orgs) if roster else ())
    check_role(state, "log", log_parts(circle.log))
    keys: dict[str, VerifyKey] = {}
    owners: dict[str, tuple[str, str]] = {}
    admins = {(admin.org, admin.person) for admin in circle.admins}
    for device, standing in state.devices.items():
        if standing.owner in admins and state.is_active(device) and device not in state.frozen:
            key = standing.device.signing
            keys[key.id], owners[key.id] = key, standing.owner
    circles.check_signed(circle, (owners[signer] for signer in verify(read.envelope, keys)))
    return replace(state, circles={**state.circles, read.id: circle})


Old = TypeVar("Old")


def _version_before(versions: tuple[Version[Old], ...], version: int, read: Read) -> Version[Old]:
    if not 2 <= version <= len(versions) + 1:
        raise RefusedError(
            f"expected {read.record.kind} version {len(versions) + 1}, got {version}",
            hint="versions rise by one; import the ones between",
        )
    return versions[version - 2]
