"""The rules of a circle's log: epochs, handovers, items, posts, tombstones, receipts.

In: the network's states, the circle's state and a record. Out: the next state, or an error that
names the rule. All of it can be judged without opening anything: a relay and a member agree.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.network.chaining import check_seen, place
from darklantern.network.clock import seconds
from darklantern.network.deleting import Receipt, Tombstone
from darklantern.network.effective import effective
from darklantern.network.epochs import Cutoff, Epoch, Last, check_stanzas
from darklantern.network.following import may_link
from darklantern.network.growing import Grown
from darklantern.network.handovers import Handover
from darklantern.network.items import Sealed
from darklantern.network.pieces import naming, no_longer
from darklantern.network.reading import InCircle, Read
from darklantern.network.states import Chains, CircleState, EpochEntry, NetworkState, Opaque, Owner, SealedEntry, Trail
from darklantern.network.verdicts import Verdict
from darklantern.sealing import verify
from darklantern.sealing.fingerprints import brief


def judge(
    net: str, history: Sequence[NetworkState], network: Trail, state: CircleState, trail: Trail, read: Read
) -> Verdict[CircleState]:
    """What becomes of `read` as the next entry. Raises DarkLanternError when it does not belong in the log.

    `history[n]` is the network's state after n entries.
    """
    record, body = read.record, read.body
    # 1. It is for this log, and cites what it depends on.
    if (record.net, record.log) != (net, state.id) or not isinstance(body, InCircle):
        raise RefusedError("it belongs to another network or log", hint="a record counts only where it was signed for")
    check_seen(record, {net: network, state.id: trail}, frozenset((net, state.id)))
    # 2. Its author signed it, with a device that was active as far as the author had read.
    at = history[record.seen[net].size]
    device = record.author_device
    if not at.is_active(device) or device in at.frozen:
        raise RefusedError(
            f"device {brief(device)} is not active", hint="its org must list it, unrevoked and not frozen"
        )
    key = at.devices[device].device.signing
    verify(read.envelope, {key.id: key})
    # 3. It is the next in its device's chain. From here on it belongs in the log, whatever the rules say.
    placed = place(record, read.id, trail.size, state.chains, state.frozen)
    if placed.fork:
        forked = replace(state, frozen={**state.frozen, device: placed.fork})
        return Verdict(forked, "a second record at one place of its device's chain; the device is frozen")
    # 4. The rules of its kind.
    read_by_then = max(state.read, record.seen[state.id].size)
    standing = replace(state, chains=placed.chains, read=read_by_then)
    try:
        match body:
            case Epoch():
                return Verdict(_epoch(at, state, standing, trail, read, body))
            case Sealed():
                return Verdict(_sealed(standing, trail, read, at.devices[device].owner, body))
            case _:
                _check_member(standing, device, record.seen[net].size)
        match body:
            case Handover():
                return Verdict(_handover(at, standing, device, body))
            case Tombstone():
                return Verdict(_tombstone(at, standing, device, body))
            case Receipt():
                return Verdict(_receipt(standing, device, body))
    except DarkLanternError as refused:
        return Verdict(standing, refused.message)


def cutoffs(chains: Chains, devices: frozenset[str], size: int) -> tuple[Cutoff, ...]:
    """For each device that is dropped, its last record within the first `size` entries."""
    found: list[Cutoff] = []
    for device in sorted(devices):
        chain = chains.get(device) or ()
        kept = bisect_left(chain, size, key=lambda link: link.position)
        found.append(Cutoff(device=device, last=Last(seq=kept - 1, id=chain[kept - 1].id) if kept else None))
    return tuple(found)


def _epoch(
    at: NetworkState, before: CircleState, state: CircleState, trail: Trail, read: Read, epoch: Epoch
) -> CircleState:
    """An effective device rotates, to exactly the set that the views it cites give."""
    previous, seen = state.epoch, read.record.seen
    network_size, size = (seen[log].size for log in (read.record.net, state.id))
    if (epoch.number, epoch.previous) != (len(state.epochs) + 1, previous.id if previous else None):
        raise _refused(epoch, "another epoch came first")
    if previous and (network_size < previous.network_size or size <= previous.position):
        raise _refused(epoch, "it cites less of the logs than the epoch before it, or not that epoch")
    if previous and seconds(epoch.as_of) < seconds(previous.body.as_of):
        raise _refused(epoch, "it is as of a time before the epoch before it")
    if size < before.read:
        # Its cut-offs would take away what others have read and answered.
        raise _refused(epoch, f"its author had read {size} entries, and others before it {before.read}")
    circle = at.circle(state.id)
    if circle is None:
        raise _refused(epoch, "it cites a time before the circle was founded")
    found = effective(at, state.id, seconds(epoch.as_of), state.frozen_at(size))
    if read.record.author_device not in found.ids:
        raise _refused(epoch, f"its author {found.explain(read.record.author_device)}")
    check_stanzas(epoch, len(found.members))
    if not may_link(before, circle, found, read.record.author_device, epoch, size):
        raise _refused(epoch, f"history {circle.history!r} asks for another link than it has")
    dropped = previous.members - found.ids if previous else frozenset[str]()
    if epoch.dropped != cutoffs(before.chains, dropped, size):
        raise _refused(epoch, "it does not cut off exactly the dropped devices, each at its last record")
    entry = EpochEntry(
        id=read.id,
        position=trail.size,
        author=read.record.author_device,
        body=epoch,
        network_size=network_size,
        members=found.ids,
        persons=found.persons,
    )
    numbers = state.numbers.insert(entry.id, len(state.epochs))
    state = replace(state, epochs=state.epochs.plus(entry), numbers=numbers)
    for held in (entry.id, epoch.linked):
        state = state.showing(held, entry.author, trail.size) if held else state
    return _cut(state, epoch)


def _cut(state: CircleState, epoch: Epoch) -> CircleState:
    """Entries of dropped devices above their cut-off stop counting, although they came before the epoch."""
    if not epoch.dropped:
        return state
    last = {cutoff.device: cutoff.last.seq if cutoff.last else -1 for cutoff in epoch.dropped}
    late = {
        id: entry
        for id, entry in state.entries.items()
        if entry.record.seq > last.get(entry.record.author_device, entry.record.seq)
    }
    reason = f"its device was dropped by epoch {epoch.number}, which had not seen it"
    return replace(
        state,
        entries=reduce(lambda entries, id: entries.remove(id), late, state.entries),
        pieces=reduce(lambda pieces, each: no_longer(pieces, each.body.names, each.id), late.values(), state.pieces),
        opaque=reduce(
            Grown.plus, (Opaque(state.id, entry.position, id, reason, True) for id, entry in late.items()), state.opaque
        ),
    )


def _sealed(state: CircleState, trail: Trail, read: Read, owner: Owner, sealed: Sealed) -> CircleState:
    """Its author is a member of the epoch that it names, and of the newest one."""
    head, author = sealed.header, read.record.author_device
    if (head.circle, head.author) != (state.id, author):
        raise RefusedError("its header names another circle or author", hint="somebody moved what is not theirs")
    named, newest = state.find_epoch(head.epoch), state.epoch
    if named is None or newest is None:
        raise RefusedError("it is sealed to an epoch that does not count", hint="its author must share it again")
    if author not in named.members:
        raise RefusedError(f"its author is not a member of epoch {named.body.number}", hint="ask the circle's admins")
    if author not in newest.members:
        raise RefusedError(f"epoch {newest.body.number} had dropped its author", hint="ask the circle's admins")
    entry = SealedEntry(read.id, trail.size, read.record, sealed, owner)
    pieces = naming(state.pieces, sealed.names, owner, read.id)
    state = state.showing(head.epoch, author, trail.size)
    return replace(state, entries=state.entries.insert(read.id, entry), pieces=pieces)


def _check_member(state: CircleState, device: str, network_size: int) -> None:
    """Raises RefusedError for who is out, or cites an old view of who is in, which can always be done again."""
    epoch = state.epoch
    if epoch is None or device not in epoch.members or network_size < epoch.network_size:
        raise RefusedError(
            "its author is not in the newest epoch, or had not read as much of the network's log as that epoch cites",
            hint="import a newer bundle and write it again",
        )


def _handover(at: NetworkState, state: CircleState, device: str, handover: Handover) -> CircleState:
    """From one device to another of the same person."""
    receiver = at.devices.get(handover.device)
    if receiver is None or receiver.owner != at.devices[device].owner or handover.device == device:
        raise RefusedError("it hands seeds to a device of somebody else", hint="each person hands over to their own")
    return replace(state, handovers=state.handovers.plus(handover))


def _tombstone(at: NetworkState, state: CircleState, device: str, tombstone: Tombstone) -> CircleState:
    """By the author's person at once; by admins once a quorum of them has asked."""
    target, circle, owner = tombstone.target, at.circle(state.id), at.devices[device].owner
    entry = state.entries.get(target)
    if entry is None:
        raise RefusedError(f"nothing that counts has the id {target[:8]}…", hint="it may be buried already")
    removed = any((each.org, each.person) == owner and not each.device for each in at.removed_from(state.id))
    own = entry.owner == owner
    if not own and (circle is None or not circle.has_admin(owner) or removed):
        raise RefusedError("its author is neither who wrote the entry nor an admin", hint="ask one of them")
    asked = state.tombstones.get(target) or ()
    asked = asked if owner in asked else (*asked, owner)
    state = replace(state, tombstones=state.tombstones.insert(target, asked))
    if not own and circle is not None and len({each for each in asked if circle.has_admin(each)}) < circle.quorum:
        return state
    return replace(
        state,
        entries=state.entries.remove(target),
        buried=state.buried.insert(target, entry),
        pieces=no_longer(state.pieces, entry.body.names, target),
    )


def _receipt(state: CircleState, device: str, receipt: Receipt) -> CircleState:
    receipts = state.receipts
    for target in receipt.targets:
        if target not in state.buried:
            raise RefusedError(f"nothing buried has the id {target[:8]}…", hint="the tombstone comes first")
        receipts = receipts.insert(target, (receipts.get(target) or frozenset()) | {device})
    return replace(state, receipts=receipts)


def _refused(epoch: Epoch, reason: str) -> RefusedError:
    return RefusedError(
        f"epoch {epoch.number}: {reason}", hint="its author must import a newer bundle and rotate again"
    )
