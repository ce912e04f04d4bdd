"""The rules of the network's own log: what one device signs. Commitments, pledges, removals, notices, vouches.

In: the states so far and a record. Out: the next state, or an error that names the rule.
"""

from collections.abc import Sequence
from dataclasses import replace

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.logs.checkpoint import parse
from darklantern.network.chaining import place
from darklantern.network.circles import Circle, Removal
from darklantern.network.growing import Grown
from darklantern.network.heads import Head, read_head
from darklantern.network.manifests import Standing
from darklantern.network.pledges import Commitment, Pledge
from darklantern.network.reading import Personal, Read
from darklantern.network.states import NetworkState, Trail
from darklantern.network.verdicts import Verdict
from darklantern.network.vouching import Notice, Vouch, Vouched
from darklantern.sealing import verify
from darklantern.sealing.fingerprints import brief


def judge(net: str, history: Sequence[NetworkState], trail: Trail, read: Read, body: Personal) -> Verdict[NetworkState]:
    """As `network_log.judge`, for a record by one device."""
    # 1. Its author signed it, with an active device.
    state, device = history[-1], read.record.author_device
    if not state.is_active(device):
        raise RefusedError(f"device {brief(device)} is in no current manifest", hint="its org must list it first")
    author = state.devices[device]
    verify(read.envelope, {author.device.signing.id: author.device.signing})
    # 2. It is the next in its device's chain.
    placed = place(read.record, read.id, trail.size, state.chains, state.frozen)
    if placed.fork:
        forked = replace(state, frozen={**state.frozen, device: placed.fork})
        return Verdict(forked, "a second record at one place of its device's chain; the device is frozen")
    state = replace(state, chains=placed.chains)
    # 3. The rules of its kind.
    try:
        match body:
            case Commitment():
                return Verdict(replace(state, commitments=state.commitments.insert(body.terms, body)))
            case Pledge():
                return Verdict(_pledge(state, author, body))
            case Removal():
                seen = read.record.seen.get(net)
                return Verdict(_removal(state, history[seen.size if seen else -1], read, author, body))
            case Notice():
                return Verdict(_notice(state, trail.size, read, author, body))
            case Vouch():
                return Verdict(_vouch(net, state, history, trail, author, body))
    except DarkLanternError as refused:
        return Verdict(state, refused.message)


def _pledge(state: NetworkState, author: Standing, pledge: Pledge) -> NetworkState:
    if (pledge.org, pledge.person) != author.owner:
        raise RefusedError("it pledges for somebody else than its signer", hint="each signs for themselves")
    signed = state.pledges.get(author.owner) or Grown[Pledge]()
    return replace(state, pledges=state.pledges.insert(author.owner, signed.plus(pledge)))


def _removal(state: NetworkState, seen: NetworkState, read: Read, author: Standing, removal: Removal) -> NetworkState:
    """One admin removes, judged by what they had read: two who remove each other unknowingly both do."""
    circle = _circle(state, removal.circle)
    gone = [each for each in seen.removed_from(removal.circle) if (each.org, each.person) == author.owner]
    if not circle.has_admin(author.owner) or any(each.device in (None, author.id) for each in gone):
        raise RefusedError("its author is no admin of the circle", hint="ask one of its admins")
    return replace(state, removals=state.removals.insert(read.id, removal))


def _notice(state: NetworkState, position: int, read: Read, author: Standing, notice: Notice) -> NetworkState:
    """By the new device itself, or by an admin to whom its person spoke."""
    circle, standing = _circle(state, notice.circle), state.devices.get(notice.device)
    if standing is None or not state.is_active(notice.device) or not circle.admits(*standing.owner):
        raise RefusedError("it is about a device of nobody whom the circle admits", hint="its org lists it first")
    if author.id != notice.device and not circle.has_admin(author.owner):
        raise RefusedError("its author is neither the device nor an admin", hint="send it from the new device")
    return replace(state, notices=state.notices.insert(read.id, (position, notice)))


def _vouch(
    net: str, state: NetworkState, history: Sequence[NetworkState], trail: Trail, author: Standing, vouch: Vouch
) -> NetworkState:
    standing = state.devices.get(vouch.device)
    if standing is None or not state.is_active(vouch.device) or vouch.device == author.id:
        raise RefusedError("it vouches for a device that is in no current manifest, or for itself", hint="check its id")
    if vouch.notice is None:
        if standing.owner != author.owner:
            raise RefusedError("it vouches for another person's device without a notice", hint="give notice first")
        return _vouched(state, Vouched(vouch.device, author.id, author.owner, None, 0))
    position, notice = state.notices.get(vouch.notice) or (0, None)
    if notice is None or notice.device != vouch.device or vouch.seen is None:
        raise RefusedError("it names no notice of this device with a checkpoint over it", hint="give notice first")
    if not _circle(state, notice.circle).has_admin(author.owner) or standing.owner == author.owner:
        raise RefusedError("its author is no admin of the circle, or the device's own person", hint="ask other admins")
    head = _checkpoint(net, history, vouch.seen)
    if not position < head.size <= trail.size or trail.roots[head.size] != head.root:
        raise RefusedError("its checkpoint does not cover the notice", hint="import a newer bundle and vouch again")
    return _vouched(state, Vouched(vouch.device, author.id, author.owner, notice.circle, head.time))


def _checkpoint(net: str, history: Sequence[NetworkState], note: bytes) -> Head:
    """A checkpoint by the key that kept the log at its size: one that has retired since could date anything back."""
    said, _ = parse(note)
    roster = history[min(said.size, len(history) - 1)].roster
    if roster is None:
        raise RefusedError("its checkpoint is from before the first roster", hint="vouch again, with a newer one")
    return read_head(note, net, roster.log)


def _vouched(state: NetworkState, vouched: Vouched) -> NetworkState:
    return replace(state, vouches=state.vouches.plus(vouched))


def _circle(state: NetworkState, circle: str) -> Circle:
    found = state.circle(circle)
    if found is None:
        raise RefusedError(f"no record founds the circle {circle[:8]}…", hint="its record comes first")
    return found
