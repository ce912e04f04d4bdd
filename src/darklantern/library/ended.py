"""What this device, or its person, no longer belongs to: since when, by whom, and why.

In: a state, a time. Out: sentences, the same for as long as it is so. They say what the logs say that are here: whom a
relay lets in no longer learns it from a bundle.
"""

from collections.abc import Collection, Iterator

from darklantern.library.acts import acts_of
from darklantern.library.state import State
from darklantern.network.circles import Removal
from darklantern.network.manifests import Standing


def ended(state: State, now: int, *, told: Collection[str] = ()) -> Iterator[str]:
    """Device and person first, then circle by circle.

    `told` are circles of which the caller says itself that only a pledge is wanting.
    """
    me = state.view.network.devices.get(state.device_id)
    if me is None:
        return
    if not state.view.network.is_active(me.id):
        yield _unlisted(state, me)
    for circle in sorted(state.view.circles):
        if circle not in told:
            yield from _left(state, me, circle, now)


def _unlisted(state: State, me: Standing) -> str:
    """Why no newest record of the network lists this device any more."""
    network = state.view.network
    roster = network.roster
    if roster and roster.org(me.org) is None:
        gone = [each for each in roster.expelled if each.name == me.org][-1]
        return f"{me.org} was expelled from the network on {gone.time}: {gone.reason}"
    versions = network.manifests[me.org]
    listing = (i for i, each in enumerate(versions) if any(me.device in person.devices for person in each.body.people))
    first = versions[max(listing) + 1]
    if me.id in first.body.revoked:
        what = "this device was revoked"
    elif me.person in (person.id for person in first.body.people):
        what = f"this device was taken off the list of {me.org}"
    else:
        what = f"you were taken out of the people of {me.org}"
    return f"{what} {_when(state, first.id)}: it can sync and sign no more"


def _left(state: State, me: Standing, circle: str, now: int) -> Iterator[str]:
    network, name = state.view.network, state.name_of(circle)
    removals = {id: each for id, each in network.removals_in(circle).items() if _concerns(each, me)}
    if removals:
        first = min(removals, key=lambda id: _place(state, id))
        what = "you were" if removals[first].device is None else "this device was"
        yield f"{what} removed from {name} {_when(state, first)}: {removals[first].reason}"
        return
    was = any(me.id in epoch.members for epoch in state.view.circle(circle).epochs)
    if was and network.is_active(me.id):
        found = state.view.effective(circle, now)
        if me.id not in found.ids:
            yield f"{name}: nothing new is sealed to this device: {found.explain(me.id)}"


def _concerns(removal: Removal, me: Standing) -> bool:
    return (removal.org, removal.person) == me.owner and removal.device in (None, me.id)


def _when(state: State, id: str) -> str:
    place = _place(state, id)
    act = next(act for act in acts_of(state, state.view.net) if act.position == place)
    return f"on {act.time} by {' and '.join(sorted(act.by))}"


def _place(state: State, id: str) -> int:
    """Where the record stands. A copy before it, of the same id, may name whomever it likes as its signer."""
    return state.view.trail(state.view.net).own[id]
