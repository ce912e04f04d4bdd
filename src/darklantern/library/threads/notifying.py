"""What its user should look at: derived from the logs, the index and what was read, on this device alone.

In: a state. Out: notifications, each with an id that stays the same until it is read. Nothing is opened for them, and
nothing is stored but what was read.
"""

from collections.abc import Iterator

from darklantern.library.opening import Found, author_of
from darklantern.library.state import State
from darklantern.library.threads.alarms import alarms
from darklantern.library.threads.indexing import person_of
from darklantern.library.threads.notifications import KINDS, Kind, Notification
from darklantern.library.threads.places import Place
from darklantern.library.threads.reading import members_of, person_behind, roots, standing_in, thread_id_of, unread_in


def notifications(state: State) -> tuple[Notification, ...]:
    """All that its user has not read and has not muted: the most pressing kind first, then in the order of the logs."""
    found = [*alarms(state), *(each for root in roots(state) for each in _in_thread(state, root))]
    return tuple(sorted(found, key=lambda each: KINDS.index(each.kind)))


def _in_thread(state: State, root: Found) -> Iterator[Notification]:
    thread_id, circle = thread_id_of(state, root), root.circle.id
    rules = state.threads.rules
    quiet = rules.get(thread_id, rules.get(circle))  # one for the thread goes before one for its circle
    if quiet == "muted":
        return
    inside, _ = members_of(state, thread_id, circle)
    me, places = person_of(state), state.threads.places
    mine = {each.entry.id for each in (root, *inside) if me and person_behind(state, each.entry) == (me.org, me.person)}
    taking_part = bool(mine) or any(places[each.entry.id].mentions_me for each in standing_in(state, inside))
    unread = frozenset(unread_in(state, inside))
    news = [(each, _kind(places[each.entry.id], each, mine, taking_part)) for each in inside if each.entry.id in unread]
    if root.entry.record.kind == "item" and root.entry.id not in mine and thread_id not in state.threads.marks:
        news.insert(0, (root, "item"))
    for each, kind in news:
        if kind == "mention" or (kind and quiet != "mentions"):
            yield Notification(each.entry.id, kind, circle, thread_id, author_of(state, each.entry))


def _kind(place: Place, post: Found, mine: set[str], taking_part: bool) -> Kind | None:
    """Why its user would want to know of a post by somebody else; None: in a thread that is not theirs."""
    if place.mentions_me:
        return "mention"
    if place.post in mine:
        return "reply"
    if place.thread == post.entry.id:
        return "thread"
    return "post" if taking_part else None
