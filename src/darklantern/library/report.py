"""A report for a compliance officer: who may read what, who changed that, and what was opened here.

In: a state and the open-log. Out: one frozen value. It is made for somebody who is cleared for none of the findings:
no title, text, tag or file name is in it, and nothing is opened to make it. It shows what this device's view shows;
an act that was withheld from it is not there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from darklantern.library.acts import Act, acts_of
from darklantern.library.open_log import OpenLog
from darklantern.library.opening import author_of, is_pending
from darklantern.library.opening import entries as sealed_entries
from darklantern.library.state import State
from darklantern.network.clock import text
from darklantern.network.effective import Effective
from darklantern.network.following import reached
from darklantern.network.states import CircleState
from darklantern.records.exact import Time
from darklantern.sealing.fingerprints import fingerprint_of


@dataclass(frozen=True)
class Reader:
    """A person with the devices that hold a key."""

    org: str
    person: str
    name: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class CircleOf:
    """A circle and who is in it now."""

    id: str
    name: str | None
    """None where its terms are not known on this device"""
    level: str | None
    markings: tuple[str, ...]
    pledges: tuple[str, ...]
    history: str
    retention_s: int | None
    """seconds after an epoch's end at which its seed is to be destroyed; None: never"""
    members: tuple[Reader, ...]
    excluded: tuple[str, ...]
    """candidates who are no members, each with the reason"""


@dataclass(frozen=True)
class Held:
    """An item or a post: who wrote it, and who was ever given a key to it."""

    id: str
    kind: str
    circle: str
    author: str
    time: Time
    pending: bool
    epoch: int
    readers: tuple[Reader, ...]
    """members of its epoch, and of later ones as far as their history reaches back to it"""


@dataclass(frozen=True)
class Dropped:
    """An item or a post that was taken back."""

    id: str
    kind: str
    circle: str
    asked: tuple[str, ...]
    """who asked for it"""
    receipts: tuple[Reader, ...]
    """who says that it is dropped, with the devices"""
    missing: tuple[Reader, ...]
    """who has had a key to it and has not said so, with the devices"""


@dataclass(frozen=True)
class Report:
    """All of it, at one time."""

    made: Time
    net: str
    device: str
    circles: tuple[CircleOf, ...]
    held: tuple[Held, ...]
    dropped: tuple[Dropped, ...]
    acts: tuple[Act, ...]
    opened: OpenLog
    stale: tuple[str, ...]
    """what this view cannot be sure of: logs that this restored library has not synced yet, frozen logs and devices"""


def report(state: State, opened: OpenLog, now: int) -> Report:
    """The report of what `state` shows at `now`."""
    return Report(
        made=text(now),
        net=state.view.net,
        device=state.device_id,
        circles=tuple(_circle(state, circle, now) for circle in state.working.circles.values()),
        held=tuple(_held(state)),
        dropped=tuple(_dropped(state)),
        acts=tuple(_acts(state)),
        opened=opened,
        stale=tuple(_stale(state)),
    )


def _circle(state: State, circle: CircleState, now: int) -> CircleOf:
    view, terms, rules = state.working, state.keyring.terms.get(circle.id), state.working.rules(circle.id)
    found = view.effective(circle.id, now)
    return CircleOf(
        id=circle.id,
        name=terms.name if terms else None,
        level=terms.level if terms else None,
        markings=terms.tags if terms else (),
        pledges=tuple(f"{pledge.name}, version {pledge.version}" for pledge in rules.pledges),
        history=rules.history,
        retention_s=rules.retention,
        members=_readers(state, found.ids),
        excluded=_excluded(found),
    )


def _excluded(found: Effective) -> tuple[str, ...]:
    return tuple(str(each) for each in found.excluded)


def _held(state: State) -> Iterator[Held]:
    for kind in ("item", "post"):
        for found in sealed_entries(state, kind):
            entry = found.entry
            epoch = found.circle.find_epoch(entry.body.header.epoch)
            assert epoch is not None  # an entry of an epoch that does not count does not count
            yield Held(
                id=entry.id,
                kind=kind,
                circle=found.circle.id,
                author=str(author_of(state, entry)),
                time=entry.record.time,
                pending=is_pending(state, found),
                epoch=epoch.body.number,
                readers=_readers(state, reached(found.circle, epoch)),
            )


def _dropped(state: State) -> Iterator[Dropped]:
    for circle in state.working.circles.values():
        for id, entry in circle.buried.items():
            epoch = circle.find_epoch(entry.body.header.epoch)
            given = reached(circle, epoch) if epoch else frozenset[str]()
            said = circle.receipts.get(id, frozenset())
            yield Dropped(
                id=id,
                kind=entry.record.kind,
                circle=circle.id,
                asked=tuple(f"{person} of {org}" for org, person in circle.tombstones[id]),
                receipts=_readers(state, said),
                missing=_readers(state, given - said),
            )


def _readers(state: State, devices: frozenset[str]) -> tuple[Reader, ...]:
    known = state.working.network.devices
    people: dict[tuple[str, str], list[str]] = {}
    for device in sorted(devices & set(known)):
        people.setdefault(known[device].owner, []).append(device)
    return tuple(
        Reader(org, person, known[held[0]].name, tuple(held)) for (org, person), held in sorted(people.items())
    )


def _acts(state: State) -> Iterator[Act]:
    for log in (state.view.net, *state.view.circles):
        yield from (act for act in acts_of(state, log) if act.kind not in ("item", "post"))


def _stale(state: State) -> Iterator[str]:
    view = state.view
    for log in (view.net, *view.circles):
        if waits := state.waits(log):
            yield waits
    yield from (f"log {log} is frozen: it signed two histories" for log in view.forks)
    frozen = {*view.network.frozen, *(device for circle in view.circles.values() for device in circle.frozen)}
    yield from (
        f"device {fingerprint_of(device)} is frozen: it signed two records at one place" for device in sorted(frozen)
    )
    yield from (f"record {waiting.id} waits for the keeper of its log" for waiting in state.outbox)
