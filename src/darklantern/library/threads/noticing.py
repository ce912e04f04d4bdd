"""What its user should look at: derived from the logs, the index and what was read, on this device alone.

In: a state. Out: notices, each with an id that stays the same until it is read. Nothing is opened for them, so they
hold nobody's words, and nothing is kept but what was read.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from darklantern.library import opening
from darklantern.library.opening import Author, Found, author_of
from darklantern.library.state import State
from darklantern.library.threads.indexing import person_of
from darklantern.library.threads.places import Quiet
from darklantern.library.threads.reading import members_of, person_behind, roots, unread_in
from darklantern.network.states import Fork

Kind = Literal["fork", "frozen", "removal", "mention", "reply", "item", "thread", "post"]
KINDS: Final[tuple[Kind, ...]] = ("fork", "frozen", "removal", "mention", "reply", "item", "thread", "post")
"""The most pressing first."""
ALARMS: Final = frozenset[Kind](("fork", "frozen", "removal"))
"""Never muted."""

WORDS: Final[dict[Kind, tuple[str, str]]] = {
    "fork": ("two histories", "two histories"),
    "frozen": ("frozen device", "frozen devices"),
    "removal": ("removal", "removals"),
    "mention": ("mention", "mentions"),
    "reply": ("reply", "replies"),
    "item": ("new finding", "new findings"),
    "thread": ("new thread", "new threads"),
    "post": ("new post", "new posts"),
}


@dataclass(frozen=True)
class Notice:
    """One thing to look at."""

    id: str
    kind: Kind
    log: str
    """the circle, or the network's own log"""
    thread: str | None
    """where to read on; None for an alarm"""
    author: Author | None


def notices(state: State) -> tuple[Notice, ...]:
    """All that its user has not read and has not muted, the most pressing kind first, then in the order of the logs."""
    found = [*_alarms(state), *(notice for root in roots(state) for notice in _in_thread(state, root))]
    return tuple(sorted(found, key=lambda notice: KINDS.index(notice.kind)))


def summary(found: Iterable[Notice]) -> str:
    """How many there are of each kind, and no word of what they are about."""
    kinds = [notice.kind for notice in found]
    counts = [(kind, kinds.count(kind)) for kind in KINDS if kind in kinds]
    return ", ".join(f"{count} {WORDS[kind][count > 1]}" for kind, count in counts)


def _in_thread(state: State, root: Found) -> Iterator[Notice]:
    place = state.threads.places.get(root.entry.id)
    thread_id, circle = place.thread if place else root.entry.id, root.circle.id
    quiet = _quiet(state, thread_id, circle)
    if quiet == "muted":
        return
    inside, _ = members_of(state, thread_id, circle)
    me = person_of(state)
    mine = {each.entry.id for each in (root, *inside) if me and person_behind(state, each.entry) == (me.org, me.person)}
    unread, places = frozenset(unread_in(state, inside)), state.threads.places
    if root.entry.record.kind == "item" and root.entry.id not in mine and thread_id not in state.threads.marks:
        yield from _loud(quiet, _notice(state, "item", root, thread_id))
    taking_part = bool(mine) or any(places[each.entry.id].mentions_me for each in inside)
    for each in inside:
        if each.entry.id not in unread:
            continue
        place = places[each.entry.id]
        kind: Kind | None = (
            "mention"
            if place.mentions_me
            else "reply"
            if place.post in mine
            else "thread"
            if each.entry.id == thread_id
            else "post"
            if taking_part
            else None
        )
        if kind:
            yield from _loud(quiet, _notice(state, kind, each, thread_id))


def _loud(quiet: Quiet | None, notice: Notice) -> Iterator[Notice]:
    if quiet is None or notice.kind == "mention":
        yield notice


def _quiet(state: State, thread_id: str, circle: str) -> Quiet | None:
    """A rule for the thread, or else one for its circle."""
    rules = state.threads.rules
    return rules.get(thread_id, rules.get(circle))


def _notice(state: State, kind: Kind, found: Found, thread_id: str) -> Notice:
    return Notice(found.entry.id, kind, found.circle.id, thread_id, author_of(state, found.entry))


def _alarms(state: State) -> Iterator[Notice]:
    """Who was dropped, whose device signed two records at one place, and which logs showed two histories."""
    view = state.view
    for log in sorted(view.forks):
        yield Notice(f"fork {log}", "fork", log, None, None)
    for org, fork in sorted(view.network.org_forks.items()):
        if not _seen(state, view.net, fork.position):
            yield Notice(f"fork {org}", "fork", view.net, None, None)
    roster = view.network.roster_fork
    if roster and not _seen(state, view.net, roster.position):
        yield Notice("fork roster", "fork", view.net, None, None)
    yield from _frozen(state, view.net, view.network.frozen)
    for circle in view.circles.values():
        yield from _frozen(state, circle.id, circle.frozen)
        for epoch in circle.epochs:
            if epoch.body.dropped and epoch.author != state.device_id and not _seen(state, circle.id, epoch.position):
                author = opening.author_by(state, epoch.author)
                yield Notice(f"removal {epoch.id}", "removal", circle.id, None, author)


def _frozen(state: State, log: str, frozen: Mapping[str, Fork]) -> Iterator[Notice]:
    for device, fork in sorted(frozen.items()):
        if not _seen(state, log, fork.position):
            yield Notice(f"frozen {log} {device}", "frozen", log, None, opening.author_by(state, device))


def _seen(state: State, log: str, position: int) -> bool:
    mark = state.threads.marks.get(log)
    return mark is not None and position <= mark.position
