"""What stands in a log: each entry with who signed it, what it says, and whether it counts.

In: a state. Out: frozen values, in the order of the log. Nothing is opened for them: of an item or a post they say that
it is one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from darklantern.errors import DarkLanternError
from darklantern.library.state import State
from darklantern.network.circles import Circle, Removal
from darklantern.network.deleting import Receipt, Tombstone
from darklantern.network.epochs import Epoch
from darklantern.network.handovers import Handover
from darklantern.network.items import Sealed
from darklantern.network.manifests import OrgManifest
from darklantern.network.pledges import Breach, Commitment, Pledge
from darklantern.network.reading import Body, Read, read
from darklantern.network.rosters import Roster
from darklantern.network.vouching import Notice, Vouch
from darklantern.records.exact import Time


@dataclass(frozen=True)
class Act:
    """One entry of a log."""

    log: str
    position: int
    id: str
    kind: str
    time: Time
    """as its author wrote it"""
    by: tuple[str, ...]
    what: str
    refused: str | None
    """why it does not count, although it is in the log"""


def acts_of(state: State, log: str) -> Iterator[Act]:
    """Every entry of a log that is held here."""
    view = state.view
    refused = {leaf.position: leaf.reason for leaf in view.opaque if leaf.log == log}
    signers = _signers(state)
    for position, data in enumerate(state.entries.get(log, ())):
        try:
            found = read(data)
        except DarkLanternError as error:  # of a kind, or in a shape, that this version does not know
            yield Act(log, position, view.trail(log).ids[position], "", "", (), "does not read", error.message)
            continue
        by = tuple(signers.get(each.keyid, f"key {each.keyid[:8]}…") for each in found.envelope.signers)
        yield _act(log, position, found, by, refused.get(position))


def _act(log: str, position: int, found: Read, by: tuple[str, ...], reason: str | None) -> Act:
    record = found.record
    return Act(log, position, found.id, record.kind, record.time, by, _said(found.body), reason)


def _said(body: Body) -> str:
    """What a record of these kinds changes, in a sentence."""
    match body:
        case Roster():
            orgs = ", ".join(org.name for org in body.orgs)
            return f"roster version {body.version} of {body.name!r}, until {body.until}, trusts {orgs}"
        case OrgManifest():
            people = ", ".join(f"{person.id} with {len(person.devices)} devices" for person in body.people)
            return f"manifest version {body.version} of {body.org}: {people}; {len(body.revoked)} devices revoked"
        case Pledge():
            pledge = body.pledge
            return f"{body.person} of {body.org} pledges {pledge.name!r} version {pledge.version} until {body.until}"
        case Circle():
            who = ", ".join((*body.orgs, *(f"{named.person} of {named.org}" for named in body.people)))
            admins = ", ".join(f"{admin.person} of {admin.org}" for admin in body.admins)
            of = f" of {body.circle[:8]}…" if body.circle else ""
            return f"circle version {body.version}{of} for {who} with admins {admins}, {body.quorum} of whom sign"
        case Removal():
            device = f", device {body.device[:8]}…" if body.device else ""
            return f"removes {body.person} of {body.org}{device} from circle {body.circle[:8]}…"
        case Commitment():
            return f"commitment {body.name!r} version {body.version}, by {body.basis}"
        case Breach():
            if body.withdraws:
                return f"takes back the record {body.withdraws[:8]}… of a breach"
            return f"{body.person} of {body.org} has broken the pledge {body.pledge!r}"
        case Notice():
            return f"notice that device {body.device[:8]}… is to count in circle {body.circle[:8]}…"
        case Vouch():
            return f"vouches for device {body.device[:8]}…"
        case Handover():
            return f"hands seeds to device {body.device[:8]}… of the same person"
        case Tombstone():
            return f"asks that {body.target[:8]}… be dropped"
        case Receipt():
            return f"says that {body.target[:8]}… is dropped"
        case Epoch():
            dropped = ", ".join(f"{cutoff.device[:8]}…" for cutoff in body.dropped) or "none"
            return f"epoch {body.number} for {body.count} devices; dropped: {dropped}"
        case Sealed():
            return f"{len(body.pieces) + len(body.attached)} sealed pieces"


def _signers(state: State) -> Mapping[str, str]:
    """Key id → whose key it is, for every key that a roster or a manifest ever named."""
    found: dict[str, str] = {}
    for version in state.view.network.rosters:
        found |= {root.key.id: f"a network root of {root.org}" for root in version.body.roots}
        for org in version.body.orgs:
            found |= {root.key.id: f"{root.person}, a root of {org.name}" for root in org.roots}
    for standing in state.view.network.devices.values():
        found[standing.device.signing.id] = f"{standing.name} ({standing.org})"
    return found
