"""What one person signs alone: vouches, handovers, notices, removals, commitments, pledges.

In: a state and what is meant. Out: the next state, or an error that names the rule and no step.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.library.outbox import put
from darklantern.library.state import State
from darklantern.network.authoring import authored
from darklantern.network.circles import Removal
from darklantern.network.clock import seconds, text
from darklantern.network.handovers import new_handover
from darklantern.network.heads import read_head
from darklantern.network.manifests import Standing
from darklantern.network.pledges import Commitment, Pledge, PledgeText
from darklantern.network.reading import Body
from darklantern.network.vouching import NOTICE, Notice, Vouch
from darklantern.records.exact import Time
from darklantern.records.record import Kind
from darklantern.sealing.fingerprints import brief

_NOTICE: Final = "notice "


@dataclass(frozen=True)
class StandingNotice:
    """A notice in the network's log: somebody wants a device to count in a circle."""

    id: str
    circle: str
    device: str
    org: str
    person: str
    since: Time
    """when the network's log said for sure, to this library, that the notice stood there"""
    after: Time
    """from then on admins may vouch"""


def with_notices(state: State) -> State:
    """The state that remembers, for each notice, the first checkpoint that covered it.

    It proves how long the notice has stood; the newest would prove no time at all.
    """
    head = state.view.heads.get(state.view.net)
    fresh = {
        _NOTICE + id: base64.b64encode(head.note).decode()
        for id, (position, _) in state.view.network.notices.items()
        if head is not None and position < head.size and _NOTICE + id not in state.settings
    }
    return replace(state, settings={**state.settings, **fresh}) if fresh else state


def notices(state: State) -> tuple[StandingNotice, ...]:
    """The notices in the network's log of devices that are active."""
    found = []
    network = state.view.network
    for id, (_, notice) in network.notices.items():
        if _NOTICE + id in state.settings and network.is_active(notice.device):
            standing, since = network.devices[notice.device], _stood_since(state, id)
            found.append(
                StandingNotice(
                    id,
                    notice.circle,
                    notice.device,
                    standing.org,
                    standing.person,
                    text(since),
                    text(since + NOTICE),
                )
            )
    return tuple(found)


def vouch(state: State, device: str, now: int) -> State:
    """Vouch for another device of this device's own person. Raises RefusedError."""
    _check_own(state, device)
    return _written(state, state.view.net, "vouch", Vouch(device=device), now)


def vouch_for(state: State, notice: str, now: int) -> State:
    """Vouch, as an admin, for the device that a notice names. Raises RefusedError before its 72 hours are over."""
    if notice not in {each.id for each in notices(state)}:
        raise RefusedError(f"no notice {notice[:8]}… stands in the network's log", hint="import a newer bundle")
    may = _stood_since(state, notice) + NOTICE
    if now < may:
        raise RefusedError(
            f"the notice has not stood for 72 hours: vouching is possible from {text(may)}",
            hint="until then its person can say that this is not their device: ask them, by another channel",
        )
    seen = base64.b64decode(state.settings[_NOTICE + notice])
    _, named = state.view.network.notices[notice]
    body = Vouch(device=named.device, notice=notice, seen=seen)
    return _written(state, state.view.net, "vouch", body, now)


def give_notice(state: State, circle: str, device: str | None, now: int) -> State:
    """Ask a circle's admins to let a device count whose person has lost all others. Raises RefusedError."""
    body = Notice(circle=circle, device=device or state.device_id)
    return _written(state, state.view.net, "notice", body, now)


def remove(state: State, removal: Removal, now: int) -> State:
    """Remove a person, or one device of theirs, from a circle, as an admin. Raises RefusedError."""
    return _written(state, state.view.net, "removal", removal, now)


def hand_over(state: State, device: str, now: int) -> tuple[State, tuple[str, ...]]:
    """Give another device of the same person the seeds held here, in each circle of which it is a member.

    The state, and the circles. Raises RefusedError where there is none.
    """
    receiver = _check_own(state, device)
    done, why = [], []
    for circle, entry in state.view.circles.items():
        seeds = {epoch.id: state.keyring.seeds[epoch.id] for epoch in entry.epochs if epoch.id in state.keyring.seeds}
        if not seeds:
            continue
        found = state.view.effective(circle, now)
        if device not in found.ids:
            why.append(f"circle {circle[:8]}…: {found.explain(device)}")
            continue
        body = new_handover(circle, device, receiver.device.receiver(), seeds)
        state = _written(state, circle, "handover", body, now)
        done.append(circle)
    if not done:
        raise RefusedError(
            f"there is nothing to hand over to this device: {'; '.join(why) or 'no seed is held here'}",
            hint="it must be a member first: its org lists it, and where a circle asks for it you vouch for it",
        )
    return state, tuple(done)


def propose(state: State, commitment: Commitment, now: int) -> State:
    """Put the exact text of a commitment into the network's log. It binds whoever signs a pledge to it."""
    known = proposed(state, commitment.name)
    newest = known[-1].version if known else 0
    if known and msgspec.structs.replace(known[-1], version=commitment.version) == commitment:
        raise RefusedError(
            f"{commitment.name!r} version {newest} is this very text already", hint="nothing needs to be done"
        )
    if newest >= commitment.version:
        raise RefusedError(
            f"expected version {newest + 1} of {commitment.name!r}, got {commitment.version}",
            hint="two texts under one version would be taken for each other",
        )
    return _written(state, state.view.net, "commitment", commitment, now)


def proposed(state: State, name: str) -> tuple[Commitment, ...]:
    """The versions of a commitment, oldest first: those in the network's log, and those that wait here."""
    known = state.logs.ahead.network.network.commitments.values()
    return tuple(sorted((each for each in known if each.name == name), key=lambda each: each.version))


def pledged(state: State, terms: PledgeText) -> Time | None:
    """Until when this device's person has signed a pledge, what waits here included; None where they have not."""
    network = state.logs.ahead.network.network
    standing = network.devices.get(state.device_id)
    signed = (network.pledges.get(standing.owner) or ()) if standing else ()
    return next((each.until for each in reversed(list(signed)) if each.pledge == terms), None)


def signed(state: State, asked: Iterable[PledgeText], now: int) -> frozenset[PledgeText]:
    """Which of these pledges this device's person has signed until after `now`, what waits here included."""
    return frozenset(each for each in asked if (until := pledged(state, each)) and seconds(until) > now)


def pledge(state: State, terms: PledgeText, until: Time, now: int) -> State:
    """Sign a pledge for this device's person. Raises RefusedError."""
    standing = state.view.network.devices.get(state.device_id)
    if standing is None:
        raise RefusedError(
            "no manifest lists this device, so nobody would know whose pledge it is",
            hint="give this library's `card` to your org's roots, and import a bundle once they have signed",
        )
    body = Pledge(org=standing.org, person=standing.person, pledge=terms, until=until)
    return _written(state, state.view.net, "pledge", body, now)


def _written(state: State, log: str, kind: Kind, body: Body, now: int) -> State:
    return put(state, log, authored(state.view, log, kind, body, state.device, state.last(log), now))


def _check_own(state: State, device: str) -> Standing:
    """The standing of another active device of this device's person. Raises RefusedError."""
    network = state.view.network
    mine, other = network.devices.get(state.device_id), network.devices.get(device)
    if mine is None or other is None or other.owner != mine.owner or not network.is_active(device):
        raise RefusedError(
            f"device {brief(device)} is no active device of this device's person",
            hint="your org lists it first (`darklantern member add`); for others' devices, see their notices",
        )
    if device == state.device_id:
        raise RefusedError("this is the very device that you are at", hint="name the other one")
    return other


def _stood_since(state: State, notice: str) -> int:
    """The time in the remembered checkpoint, by whichever key the network's log had then."""
    note = base64.b64decode(state.settings[_NOTICE + notice])
    for version in reversed(state.view.network.rosters):
        try:
            return read_head(note, state.view.net, version.body.log).time
        except DarkLanternError:  # the log has moved since: another version names its key of then
            continue
    raise RefusedError("the remembered checkpoint is under no key of the network's log", hint="import a bundle anew")
