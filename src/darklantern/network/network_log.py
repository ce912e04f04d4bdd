"""The rules of the network's own log: what several sign together. Rosters, manifests, circles, breaches.

In: the states so far and a record. Out: the next state, or an error that names the rule. Nothing here
asks what time it is: what has expired still stands in the log, and stops sealing only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TypeVar

from darklantern.errors import RefusedError
from darklantern.network import circles, manifests, personal_log, rosters
from darklantern.network.chaining import check_seen
from darklantern.network.circles import Circle
from darklantern.network.growing import Grown
from darklantern.network.heads import Moving, read_head
from darklantern.network.manifests import OrgManifest
from darklantern.network.pledges import Breach
from darklantern.network.reading import Personal, Read
from darklantern.network.roles import check_role, circle_parts, log_keys, log_parts, taking
from darklantern.network.rosters import Roster
from darklantern.network.states import Broken, Fork, NetworkState, Trail, Version
from darklantern.network.verdicts import Verdict
from darklantern.records.record import NOBODY
from darklantern.sealing import VerifyKey, verify


def judge(net: str, history: Sequence[NetworkState], trail: Trail, read: Read) -> Verdict[NetworkState]:
    """What becomes of `read` as the next entry. Raises DarkLanternError when it does not belong in the log.

    `history[n]` is the network's state after n entries.
    """
    state, body = history[-1], read.body
    if not state.rosters:
        return Verdict(_genesis(net, read))
    if (read.record.net, read.record.log) != (net, net):
        raise RefusedError("it belongs to another network or log", hint="a record counts only where it was signed for")
    check_seen(read.record, {net: trail}, frozenset())
    match body:
        case Roster():
            return _roster(net, state, trail, read, body)
        case OrgManifest():
            return _manifest(state, trail.size, read, body)
        case Circle():
            return _circle(state, trail.size, read, body)
        case Breach():
            return _breach(state, read, body)
        case _ if isinstance(body, Personal):
            return personal_log.judge(net, history, trail, read, body)
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
    if (roster.version, roster.previous, roster.final, roster.settles, roster.moving) != (1, None, None, None, None):
        raise RefusedError(f"expected roster version 1, got {roster.version}", hint="join by the first roster's id")
    rosters.check_roster(roster)
    rosters.check_signed(roster, verify(read.envelope, roster.keys()))
    return _with_roster(NetworkState(), read, roster)


def _roster(net: str, state: NetworkState, trail: Trail, read: Read, roster: Roster) -> Verdict[NetworkState]:
    """Version n+1 is signed by a threshold of n and a threshold of n+1. Two valid ones stop sealing."""
    old = _version_before(state.rosters, roster.version, read)
    rosters.check_successor(old.body, old.id, roster)
    rosters.check_roster(roster)
    signers = verify(read.envelope, {**old.body.keys(), **roster.keys()})
    rosters.check_signed(old.body, signers)
    rosters.check_signed(roster, signers)
    check_role(state, "root", rosters.root_parts(roster))
    check_role(state, "log", (part for key in log_keys(roster) for part in log_parts(key)))
    check_role(state, "relay", rosters.relay_parts(roster))
    size, root = _check_final(net, old.body, roster) or (trail.size, trail.roots[-1])
    if (size, root) != (trail.size, trail.roots[-1]):
        raise RefusedError(
            f"roster version {roster.version} moves the log at {size} entries, and {trail.size} come before it",
            hint="the final checkpoint must cover all before this roster; its roots must sign another",
        )
    if roster.version < len(state.rosters):
        return Verdict(state, f"roster version {roster.version} is long settled")
    if roster.version == len(state.rosters):
        fork = Fork(state.rosters[roster.version - 1].id, read.id, trail.size)
        reason = f"a second roster version {roster.version}: sealing stops until the roots settle which one counts"
        return Verdict(replace(state, roster_fork=state.roster_fork or fork), reason)
    left = _unsettled(state.roster_fork, roster.settles)
    return Verdict(_with_roster(replace(state, roster_fork=left), read, roster))


def _with_roster(state: NetworkState, read: Read, roster: Roster) -> NetworkState:
    state = replace(state, rosters=(*state.rosters, Version(read.id, roster)))
    state = taking(state, "root", rosters.root_parts(roster))
    state = taking(state, "relay", rosters.relay_parts(roster))
    return taking(state, "log", (part for key in log_keys(roster) for part in log_parts(key)))


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
    parts = [part for each in listed.values() for part in manifests.device_parts(each.device)]
    check_role(state, "device", parts)
    if manifest.version < len(versions):
        return Verdict(state, f"manifest version {manifest.version} is long settled")
    if manifest.version == len(versions):
        fork = Fork(versions[manifest.version - 1].id, read.id, position)
        forks = {manifest.org: fork, **state.org_forks}
        return Verdict(replace(state, org_forks=forks), f"a second manifest version {manifest.version}: the org stops")
    return Verdict(
        replace(
            taking(state, "device", parts),
            manifests={**state.manifests, manifest.org: (*versions, Version(read.id, manifest))},
            active={**state.active, manifest.org: frozenset(listed)},
            devices=reduce(lambda devices, each: devices.insert(each.id, each), listed.values(), state.devices),
            org_forks=_without(state.org_forks, manifest.org, manifest.settles),
        )
    )


def _circle(state: NetworkState, position: int, read: Read, circle: Circle) -> Verdict[NetworkState]:
    """Signed by a quorum of its own admins, and of those before, each with an active device."""
    roster = state.roster
    circles.check_circle(circle, (org.name for org in roster.orgs) if roster else ())
    check_role(state, "log", circle_parts(circle))
    if circle.circle is None:
        circles.check_signed(circle, _admins_who_signed(state, read, circle))
        if (circle.final, circle.settles, circle.moving) != (None, None, None):
            raise RefusedError("a new circle moves no log and settles nothing", hint="its admins must sign another")
        state = taking(state, "log", circle_parts(circle))
        return Verdict(replace(state, circles=state.circles.insert(read.id, Grown([Version(read.id, circle)]))))
    versions = state.circles.get(circle.circle) or Grown[Version[Circle]]()
    old = _version_before(versions, circle.version, read)
    circles.check_successor(old.body, old.id, circle)
    signers = _admins_who_signed(state, read, old.body, circle)
    circles.check_signed(old.body, signers)
    circles.check_signed(circle, signers)
    _check_final(circle.circle, old.body, circle)
    if circle.version < len(versions):
        return Verdict(state, f"version {circle.version} of the circle is long settled")
    if circle.version == len(versions):
        fork = Fork(versions[circle.version - 1].id, read.id, position)
        forks = {circle.circle: fork, **state.circle_forks}
        reason = f"a second version {circle.version} of the circle: sealing stops until its quorum settles which counts"
        return Verdict(replace(state, circle_forks=forks), reason)
    return Verdict(
        replace(
            taking(state, "log", circle_parts(circle)),
            circles=state.circles.insert(circle.circle, versions.plus(Version(read.id, circle))),
            circle_forks=_without(state.circle_forks, circle.circle, circle.settles),
        )
    )


def _breach(state: NetworkState, read: Read, breach: Breach) -> Verdict[NetworkState]:
    """Signed as a roster is, or as a manifest of the person's org."""
    roster = state.roster
    org = roster.org(breach.org) if roster else None
    if roster is None or org is None:
        raise RefusedError(f"the org {breach.org!r} is not in the roster", hint="nobody of it is a member anyway")
    own = {root.key.id: root.key for root in org.roots}
    signers = verify(read.envelope, {**roster.keys(), **own})
    persons = {root.person for root in org.roots if root.key.id in signers}
    by_org = len(persons) >= org.threshold
    if not by_org:
        rosters.check_signed(roster, signers)
    if breach.withdraws is None:
        return Verdict(replace(state, breaches=state.breaches.insert(read.id, Broken(breach, by_org))))
    before = state.breaches.get(breach.withdraws)
    same = (breach.org, breach.person, breach.pledge)
    if before is None or (before.breach.org, before.breach.person, before.breach.pledge) != same:
        raise RefusedError("it takes back a breach that is not recorded of this person", hint="name the record's id")
    if before.by_org != by_org:
        raise RefusedError("it takes back what others have recorded", hint="whoever recorded a breach takes it back")
    return Verdict(replace(state, breaches=state.breaches.remove(breach.withdraws)))


def _admins_who_signed(state: NetworkState, read: Read, *of: Circle) -> list[tuple[str, str]]:
    """The (org, person) of each signer, who must all have signed with active devices of admins."""
    keys: dict[str, VerifyKey] = {}
    owners: dict[str, tuple[str, str]] = {}
    for device, standing in state.devices.items():
        if (
            any(circle.has_admin(standing.owner) for circle in of)
            and state.is_active(device)
            and device not in state.frozen
        ):
            key = standing.device.signing
            keys[key.id], owners[key.id] = key, standing.owner
    return [owners[signer] for signer in verify(read.envelope, keys)]


def _check_final(log: str, old: Moving, new: Moving) -> tuple[int, bytes] | None:
    """What a move to another key leaves behind: (size, root); None where the key stays. Raises if it is not proven."""
    if (new.log != old.log) != (new.final is not None) or new.moving == new.log:
        raise RefusedError(
            "a log moves to another key with the last checkpoint by the old one, and only then",
            hint="two logs could both claim to be the one; sign another record",
        )
    if new.final is None:
        return None
    if old.moving != new.log:
        # Its keeper may have appended since that checkpoint, for people who believe that it is in the log.
        raise RefusedError(
            "a log moves to a key that the version before has announced",
            hint="sign one that says `moving` first: from then on its keeper appends nothing more",
        )
    head = read_head(new.final, log, old.log)
    return head.size, head.root


def _unsettled(fork: Fork | None, settles: str | None) -> Fork | None:
    if settles is not None and (fork is None or settles not in (fork.first, fork.second)):
        raise RefusedError("it settles between versions that do not contend", hint="name the id of the other one")
    return None if settles is not None else fork


def _without(forks: Mapping[str, Fork], name: str, settles: str | None) -> dict[str, Fork]:
    left = _unsettled(forks.get(name), settles)
    return {**{each: fork for each, fork in forks.items() if each != name}, **({name: left} if left else {})}


Old = TypeVar("Old")


def _version_before(versions: Sequence[Version[Old]], version: int, read: Read) -> Version[Old]:
    if not 2 <= version <= len(versions) + 1:
        raise RefusedError(
            f"expected {read.record.kind} version {len(versions) + 1}, got {version}",
            hint="versions rise by one; import the ones between",
        )
    return versions[version - 2]
