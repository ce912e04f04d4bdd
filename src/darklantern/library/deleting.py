"""Dropping what was taken back: asking for it, doing it, and saying that it is done.

In: a state. Out: the next state with a tombstone or with receipts, and the pieces that go. What a tombstone names
stops counting the moment it is in the log; its index rows leave with the step that brings it, its pieces right after,
and once they are gone this device says so. What others copied, printed or backed up is out of reach, and so is who
never receipts.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

from darklantern.errors import DarkLanternError
from darklantern.library.importing import wanted_pieces
from darklantern.library.opening import Found
from darklantern.library.outbox import put
from darklantern.library.state import State
from darklantern.network.authoring import authored
from darklantern.network.deleting import MOST_TARGETS, Receipt, Tombstone
from darklantern.network.reading import leaf_id
from darklantern.network.retaining import ended, lives
from darklantern.records.record import Kind


def bury(state: State, found: Found, clock: int) -> tuple[State, str]:
    """The step that asks for an item or a post to be dropped, and the request's id. Raises RefusedError.

    Its author's person is heard at once; of admins, a quorum must ask.
    """
    return _authored(state, found.circle.id, Tombstone(target=found.entry.id), clock)


def going(old: State, new: State) -> frozenset[str]:
    """The pieces that ended between `old` and `new`: what named them was taken back, or cut off.

    A tombstone that only waits has dropped nothing: its keeper may refuse it.
    """
    circles = new.view.circles.values()
    gone = frozenset(name for circle in circles for name in ended(old.view.circles.get(circle.id), circle))
    return gone - wanted_pieces(new.working) if gone else gone


def remaining(state: State) -> Iterator[str]:
    """The pieces of what is buried and has no receipt, and that nothing which counts names: they must go."""
    for circle, targets in _unreceipted(state):
        for target in targets:
            yield from _dropped(state, circle, target)


def with_receipts(state: State, clock: int, is_here: Callable[[str], bool]) -> State:
    """The state in which this device says what it has dropped of everything buried, wherever it may sign.

    Where it may not, now, or a piece is still here, the receipt is written another time: a missing one is listed, and
    nothing waits for it.
    """
    for circle, targets in list(_unreceipted(state)):
        gone = tuple(each for each in targets if not any(map(is_here, _dropped(state, circle, each))))
        with suppress(DarkLanternError):  # no member any more, a frozen log, or a library that was restored
            state = _authored(state, circle, Receipt(targets=gone), clock)[0] if gone else state
    return state


def _dropped(state: State, circle: str, target: str) -> Iterator[str]:
    for name in state.view.circle(circle).buried[target].body.names:
        if not any(lives(each, name) for each in state.working.circles.values()):
            yield name


def _unreceipted(state: State) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(circle, what is buried in it): as much as goes into one receipt; the rest has its turn with another step."""
    me = state.device_id
    for circle in state.view.circles.values():
        reached = max((epoch.body.number for epoch in circle.epochs if me in epoch.members), default=0)
        numbers = {epoch.id: epoch.body.number for epoch in circle.epochs}
        said = state.working.circle(circle.id).receipts
        targets = sorted(
            target
            for target, entry in circle.buried.items()
            if numbers.get(entry.body.header.epoch, reached + 1) <= reached and me not in said.get(target, ())
        )
        if targets:
            yield circle.id, tuple(targets[:MOST_TARGETS])


def _authored(state: State, circle: str, body: Tombstone | Receipt, clock: int) -> tuple[State, str]:
    kind: Kind = "tombstone" if isinstance(body, Tombstone) else "receipt"
    data = authored(state.view, circle, kind, body, state.device, state.last(circle), state.now(clock))
    return put(state, circle, data), leaf_id(data)
