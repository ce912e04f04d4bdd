"""Which items and posts a step made count here, and which it took out.

In: two states, or one and what is known of it. Out: News. It costs what is new: a log only grows, so all but its end
is as it was, unless the log, or the network's, was merged from another copy than the one that is held.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from darklantern.library.opening import Found, in_order
from darklantern.library.state import State
from darklantern.network.growing import Grown
from darklantern.network.states import CircleState, Opaque


@dataclass(frozen=True)
class News:
    """What counts now and did not, and the other way round. What was forgotten with its seed counts no more."""

    came: tuple[Found, ...] = ()
    """in the order of their logs"""
    gone: frozenset[str] = frozenset()
    again: tuple[Found, ...] = ()
    """what counted already and may open now: its key has come, or a piece of it"""

    @property
    def ids(self) -> frozenset[str]:
        """All that it tells of."""
        return self.gone.union(found.entry.id for found in (*self.came, *self.again))


def news(old: State, new: State, pieces: Collection[str] = ()) -> News:
    """What the step from `old` to `new` brings, with which these pieces of others have come."""
    came, gone = list[Found](), set[str]()
    for circle in new.working.circles.values():
        before = old.working.circles.get(circle.id, CircleState(circle.id))
        for id in _touched(old, new, before, circle):
            was, entry = before.entries.get(id), circle.entries.get(id)
            if entry and not was and entry.body.header.epoch not in new.keyring.forgotten:
                came.append(Found(circle, entry))
            if was and (not entry or entry.body.header.epoch in new.keyring.forgotten):
                gone.add(id)
    known = {found.entry.id for found in came}
    again = (found for found in _again(old, new, pieces) if found.entry.id not in known)
    return News(tuple(in_order(came)), frozenset(gone), tuple(again))


def since(state: State, known: Collection[str]) -> News:
    """What a state brings to whoever knows these."""
    found = {each.entry.id: each for each in counting(state)}
    came = (each for id, each in found.items() if id not in known)
    return News(tuple(in_order(came)), frozenset(known) - found.keys())


def counting(state: State) -> Iterator[Found]:
    """All items and posts that count and were not forgotten, in no order."""
    forgotten = state.keyring.forgotten
    for circle in state.working.circles.values():
        for entry in circle.entries.values():
            if entry.body.header.epoch not in forgotten:
                yield Found(circle, entry)


def _again(old: State, new: State, pieces: Collection[str]) -> Iterator[Found]:
    keys = new.keyring.seeds.keys() - old.keyring.seeds.keys()
    if keys:
        yield from (found for found in counting(new) if found.entry.body.header.epoch in keys)
    for circle in new.working.circles.values() if pieces else ():
        held = (circle.pieces.get(name) for name in pieces)
        for id in {id for each in held if each for id in each.by}:
            if circle.entries[id].body.header.epoch not in keys:
                yield Found(circle, circle.entries[id])


def _touched(old: State, new: State, before: CircleState, after: CircleState) -> set[str]:
    """All that may count in one state and not in the other."""
    fresh = new.keyring.forgotten - old.keyring.forgotten
    if after is before and not fresh:
        return set()
    if fresh or not (_goes_on(old, new, new.view.net) and _goes_on(old, new, after.id)):
        return {*before.entries, *after.entries}
    ids = set(new.view.trail(after.id).ids[old.view.trail(after.id).size :])
    ids.update(waiting.id for waiting in (*old.outbox, *new.outbox) if waiting.log == after.id)
    # A tombstone and a cut-off take out what came long before them, and one that only waits may go away again.
    if before.buried is not after.buried:
        ids |= set(before.buried) ^ set(after.buried)
    known = old.view.circles.get(after.id)
    start = len(known.opaque) if known else 0
    return ids.union(leaf.id for leaf in (*before.opaque[start:], *after.opaque[start:]))


def _goes_on(old: State, new: State, log: str) -> bool:
    """Whether a log begins with all that it was, and each entry that did not count still does not.

    One that was badly signed may have been replaced by a better copy of the same id, and one that waited for the
    network's log may have been judged again.
    """
    before, after = old.view.trail(log), new.view.trail(log)
    same = before is after or (before.size <= after.size and after.roots[before.size] == before.roots[-1])
    was, leaves = _leaves(old, log), _leaves(new, log)
    # Leaves only come at the end: if one went, another stands in the last one's place.
    return same and (not was or (len(was) <= len(leaves) and was[-1] == leaves[len(was) - 1]))


def _leaves(state: State, log: str) -> Grown[Opaque]:
    if log == state.view.net:
        return state.view.network.opaque
    circle = state.view.circles.get(log)
    return circle.opaque if circle else Grown()
