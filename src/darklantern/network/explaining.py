"""Why somebody can or cannot read something, and why it may not have reached them.

In: a view, a person and the id of a record. Out: an answer for each of their devices, with reasons in words. It rests
on what the logs say: whether a device really holds a piece, or was handed a seed, only its person can tell.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from darklantern.counted import counted
from darklantern.network import pledges
from darklantern.network.clock import seconds, text
from darklantern.network.effective import effective
from darklantern.network.following import leading_back
from darklantern.network.states import CircleState, EpochEntry, Owner, SealedEntry
from darklantern.network.view import View
from darklantern.sealing.fingerprints import brief

Answer = Literal["can", "cannot", "may"]


@dataclass(frozen=True)
class DeviceAnswer:
    """Whether one device of theirs can open it."""

    device: str | None
    """its id; None where no device of theirs is known"""
    answer: Answer
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Explained:
    """What the logs say about one person and one record."""

    who: Owner
    record: str
    about: tuple[str, ...]
    """what holds for the record whoever asks: where it stands, or why it counts for nobody"""
    devices: tuple[DeviceAnswer, ...]

    @property
    def answer(self) -> Answer:
        """The best that any device of theirs can do."""
        answers = {device.answer for device in self.devices}
        return next((answer for answer in ("can", "may") if answer in answers), "cannot")

    def lines(self) -> tuple[str, ...]:
        """The answer in words. A line may quote a peer, line breaks and all."""
        org, person = self.who
        lines = [f"{person} of {org} {self.answer} read {self.record[:16]}…", *(f"  {line}" for line in self.about)]
        for device in self.devices:
            which = f"device {brief(device.device)}" if device.device else "no device of theirs is known: they"
            lines += [f"  {which} {device.answer}:", *(f"    {line}" for line in device.reasons)]
        return tuple(lines)

    def __str__(self) -> str:
        return "\n".join(self.lines())


def explain(view: View, who: Owner, record: str, *, waiting: frozenset[str], now: int) -> Explained:
    """Why `who` can or cannot read `record` at `now`. `waiting` are records that no keeper has appended yet.

    Never silence: a record or a person that is not known here is answered with that.
    """
    for circle in view.circles.values():
        entry = circle.entries.get(record) or circle.buried.get(record)
        if entry is not None:
            about = tuple(_about(view, circle, entry, record in waiting))
            if record in circle.buried:
                return Explained(who, record, about, ())
            return Explained(who, record, about, tuple(_devices(view, circle, entry, who, now)))
    refused = [leaf for leaf in view.opaque if leaf.id == record]
    if refused:
        return Explained(who, record, tuple(f"it counts for nobody: {leaf.reason}" for leaf in refused), ())
    return Explained(who, record, ("no log that is here has it: sync, or check the id",), ())


def why_shut(view: View, record: str, device: str, *, called: str, now: int) -> str:
    """Why an entry does not open on a device that has no key to it, in a sentence. `called` is its circle's name."""
    circle = next(circle for circle in view.circles.values() if record in circle.entries)
    entry = circle.entries[record]
    epoch = circle.find_epoch(entry.body.header.epoch)
    assert epoch is not None  # an entry of an epoch that does not count does not count
    among = "this one among them, and its key has not come here"
    if device not in epoch.members:
        among = f"and this one is not among them: {'; '.join(_judged(view, circle, entry, device, now)[1])}"
    return f"it is sealed to {_keys(epoch)} in circle {called}, {among}"


def _keys(epoch: EpochEntry) -> str:
    return f"{counted(len(epoch.members), 'device')} of {counted(len(epoch.persons), 'member')}"


def _about(view: View, circle: CircleState, entry: SealedEntry, waiting: bool) -> Iterator[str]:
    epoch = circle.find_epoch(entry.body.header.epoch)
    number = epoch.body.number if epoch else 0
    if entry.id in circle.buried:
        dropped = len(circle.receipts.get(entry.id, ()))
        says = "says that it has" if dropped == 1 else "say that they have"
        yield f"it was taken back; {counted(dropped, 'device')} {says} dropped it"
    elif waiting:
        yield "it waits in this library for the keeper of its log: nobody else has it yet; sync"
    else:
        yield f"it is entry {entry.position} of the log of circle {circle.id[:8]}…, sealed to epoch {number}"
        if epoch:
            yield f"{_keys(epoch)} had its key when it was made"
    fork = view.forks.get(circle.id)
    if fork:
        yield "the log is frozen, since it showed two histories: nothing new travels in it"


def _devices(view: View, circle: CircleState, entry: SealedEntry, who: Owner, now: int) -> Iterator[DeviceAnswer]:
    owned = [device for device, standing in view.network.devices.items() if standing.owner == who]
    if not owned:
        yield DeviceAnswer(None, "cannot", (f"no manifest of {who[0]} ever listed a device of {who[1]}",))
    for device in sorted(owned):
        answer, reasons = _judged(view, circle, entry, device, now)
        yield DeviceAnswer(device, answer, (*reasons, *_reached(circle, entry, device)))


def _judged(
    view: View, circle: CircleState, entry: SealedEntry, device: str, now: int
) -> tuple[Answer, tuple[str, ...]]:
    sealed_to = circle.find_epoch(entry.body.header.epoch)
    assert sealed_to is not None  # an entry of an epoch that does not count does not count
    # 1. A member of the epoch itself.
    if device in sealed_to.members:
        return "can", (f"it is a member of epoch {sealed_to.body.number}, which the record is sealed to",)
    # 2. A member of a later one, with links all the way back.
    then = _excluded_then(view, circle, sealed_to, device)
    back = [epoch for epoch in leading_back(circle, sealed_to) if device in epoch.members]
    if back:
        return "can", (then, f"it is a member of epoch {back[0].body.number}, from which links lead back")
    later = circle.epochs[sealed_to.body.number :]
    joined = next((epoch for epoch in later if device in epoch.members), None)
    if joined is not None:
        # Which of the epochs on the way cut it: the last that does not link to the one before it.
        way = later[: joined.body.number - sealed_to.body.number]
        cut = next((epoch for epoch in reversed(way) if epoch.body.linked != epoch.body.previous), joined)
        how = f"the history was cut at epoch {cut.body.number}"
        if cut.body.linked is not None:
            how = f"epoch {cut.body.number} skipped those before it that opened for nobody"
        return _handed(circle, device, (then, f"it is a member of epoch {joined.body.number}, but {how}"))
    # 3. In none.
    frozen = circle.frozen_at(view.trail(circle.id).size)
    today = effective(view.network, circle.id, now, frozen).explain(device)
    unsigned = (pledges.command(pledge) for pledge in view.to_sign(circle.id, device, now))
    remedies = (f"what changes it: on their device, `{command}`, and a sync" for command in unsigned)
    return _handed(circle, device, (then, f"now: {today}", *remedies))


def _handed(circle: CircleState, device: str, reasons: tuple[str, ...]) -> tuple[Answer, tuple[str, ...]]:
    if any(handover.device == device for handover in circle.handovers):
        return "may", (*reasons, "another device of the same person has handed seeds to it; which ones is sealed")
    return "cannot", reasons


def _excluded_then(view: View, circle: CircleState, epoch: EpochEntry, device: str) -> str:
    """Why the device was in no reach of the epoch when it was made."""
    as_of = seconds(epoch.body.as_of)
    found = effective(view.history[epoch.network_size], circle.id, as_of, circle.frozen_at(epoch.position))
    return f"when epoch {epoch.body.number} was made, {text(as_of)}: {found.explain(device)}"


def _reached(circle: CircleState, entry: SealedEntry, device: str) -> Iterator[str]:
    """How far the device's own records show that it had read; reading itself leaves no trace."""
    chain = circle.chains.get(device)
    if not chain:
        yield "it has written nothing in this circle, so nothing shows how far it has read"
        return
    read = chain[-1].seen[circle.id].size
    if read > entry.position:
        yield f"its own records show that it had the log as far as entry {read}"
    else:
        late = f"when it last wrote it had {read} entries, and this is entry {entry.position}"
        yield f"{late}: it may not have synced since"
