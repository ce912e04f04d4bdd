"""What a record does, and what became of records, each in one sentence: for lists and reports.

In: a body, or entries. Out: a sentence without a word of what is sealed. What somebody is about to sign is said in full
by `wording`. Names in it were written by people; they are data.
"""

from collections.abc import Sequence

from darklantern.counted import counted
from darklantern.errors import DarkLanternError
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
from darklantern.sealing.fingerprints import brief


def sentence(body: Body) -> str:
    """What a record changes, whatever its kind."""
    match body:
        case Roster():
            orgs = ", ".join(org.name for org in body.orgs)
            return f"roster version {body.version} of {body.name!r}, until {body.until}, trusts {orgs}"
        case OrgManifest():
            people = ", ".join(f"{person.id} with {counted(len(person.devices), 'device')}" for person in body.people)
            revoked = counted(len(body.revoked), "device")
            return f"manifest version {body.version} of {body.org}: {people}; {revoked} revoked"
        case Pledge():
            pledge = body.pledge
            return f"{body.person} of {body.org} pledges {pledge.name!r} version {pledge.version} until {body.until}"
        case Circle():
            who = ", ".join((*body.orgs, *(f"{named.person} of {named.org}" for named in body.people)))
            admins = ", ".join(f"{admin.person} of {admin.org}" for admin in body.admins)
            of = f" of {body.circle[:8]}…" if body.circle else ""
            return f"circle version {body.version}{of} for {who} with admins {admins}, {body.quorum} of whom sign"
        case Removal():
            device = f", device {brief(body.device)}" if body.device else ""
            return f"removes {body.person} of {body.org}{device} from circle {body.circle[:8]}…"
        case Commitment():
            return f"commitment {body.name!r} version {body.version}, by {body.basis}"
        case Breach():
            if body.withdraws:
                return f"takes back the record {body.withdraws[:8]}… of a breach"
            return f"{body.person} of {body.org} has broken the pledge {body.pledge!r}"
        case Notice():
            return f"notice that device {brief(body.device)} is to count in circle {body.circle[:8]}…"
        case Vouch():
            return f"vouches for device {brief(body.device)}"
        case Handover():
            return f"hands seeds to device {brief(body.device)} of the same person"
        case Tombstone():
            return f"asks that {body.target[:8]}… be dropped"
        case Receipt():
            more = f" and {len(body.targets) - 1} more" if len(body.targets) > 1 else ""
            return f"says that it has dropped {body.targets[0][:8]}…{more}"
        case Epoch():
            dropped = ", ".join(f"{brief(cutoff.device)}" for cutoff in body.dropped) or "none"
            skips = body.linked and body.linked != body.previous
            skipped = f"; skips all after {body.linked[:8]}…" if skips and body.linked else ""
            return f"epoch {body.number} for {counted(body.count, 'device')}; dropped: {dropped}{skipped}"
        case Sealed():
            return "an item or a post"


def dropped_words(log: str, entries: Sequence[bytes], device: str) -> str:
    """What is no longer in a log since it moved, and which of it `device` must write again."""
    own = [found.id for data in entries if (found := _record(data)) and found.record.author_device == device]
    mine = f"; of this device: {', '.join(id[:16] for id in own)}, write them again" if own else ""
    return (
        f"log {log[:8]}… has moved to another keeper, and what the old one appended after that is "
        f"dropped: {counted(len(entries), 'entry')}{mine}"
    )


def _record(data: bytes) -> Read | None:
    try:
        return read(data)
    except DarkLanternError:
        return None
