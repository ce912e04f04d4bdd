"""Threads as they stand: which there are, what is in one, what in it is unread.

In: a state and the pieces. Out: values. One thread costs opening its own records, whatever else the library holds.
"""

from collections.abc import Iterable
from dataclasses import replace

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.library import opening
from darklantern.library.opening import Fetch, Found, author_of, in_order
from darklantern.library.state import State
from darklantern.library.threads.folding import Opened, fold
from darklantern.library.threads.indexing import person_of, unplaced, why_not
from darklantern.library.threads.places import Mark, Place
from darklantern.library.threads.values import Ignored, Thread, ThreadListed, Unreadable
from darklantern.network.deciding import Follows
from darklantern.network.states import SealedEntry
from darklantern.records.posts import Post


def thread(state: State, thread_id: str, fetch: Fetch, follows: Follows) -> Thread:
    """All of a thread. Raises RefusedError for one that is not here."""
    root = root_of(state, thread_id)
    inside, outside = members_of(state, thread_id, root.circle.id)
    said, shut = opened(state, inside, fetch)
    posts, ignored = fold(said, frozenset(each.id for each in shut))
    unread = frozenset(unread_in(state, inside))
    return Thread(
        id=thread_id,
        circle=root.circle.id,
        title=title_of(state, root, fetch, follows),
        about_item=root.entry.record.kind == "item",
        posts=tuple(replace(post, unread=post.id in unread) for post in posts),
        ignored=(*ignored, *(_foreign(state, found) for found in outside)),
        unreadable=(*shut, *unplaced_in(state, root)),
    )


def threads(
    state: State, fetch: Fetch, follows: Follows, *, about_items: bool, limit: int | None
) -> tuple[ThreadListed, ...]:
    """Every thread with a title, and every item, the newest first by the time that authors claim.

    Only those within the limit cost an opening, for their title.
    """
    found = [
        (_last(state, root).entry.record.time, thread_id_of(state, root), root)
        for root in roots(state)
        if about_items or root.entry.record.kind != "item"
    ]
    newest = sorted(found, key=lambda each: each[:2], reverse=True)[:limit]
    return tuple(_listed(state, root, fetch, follows) for _, _, root in newest)


def unread(state: State) -> dict[str, int]:
    """Thread → how many posts in it are unread, where there are any."""
    counts: dict[str, int] = {}
    for root in roots(state):
        thread_id = thread_id_of(state, root)
        inside, _ = members_of(state, thread_id, root.circle.id)
        if count := len(unread_in(state, inside)):
            counts[thread_id] = count
    return counts


def roots(state: State) -> Iterable[Found]:
    """What threads hang on: items, posts with a title, and whatever else a post says that it is about."""
    known = {*(found.entry.id for found in opening.entries(state, "item")), *state.threads.index.threads}
    for thread_id in sorted(known):
        try:
            yield root_of(state, thread_id)
        except RefusedError:  # a device was dropped after all: neither the root nor a post in it counts any longer
            continue


def root_of(state: State, thread_id: str) -> Found:
    """The item or the post that a thread hangs on; where that is not here, the first record that says it is in it."""
    for kind in ("item", "post"):
        found = opening.look_up(state, kind, thread_id)
        if found and (kind == "item" or _begins(state, thread_id)):
            return found
    inside = _found(state, state.threads.index.threads.get(thread_id, ()))
    if inside:
        return inside[0]
    place = state.threads.places.get(thread_id)
    if place:
        raise RefusedError(f"{thread_id} is no thread, but in thread {place.thread}", hint="give the thread's id")
    return opening.find(state, "item", thread_id)  # says why


def thread_id_of(state: State, root: Found) -> str:
    """The thread that hangs on what `root_of` gave."""
    place = state.threads.places.get(root.entry.id)
    return place.thread if place else root.entry.id


def members_of(state: State, thread_id: str, circle: str) -> tuple[list[Found], list[Found]]:
    """The records that say they are in the thread, in the order of the log: of its circle, and of others."""
    found = _found(state, state.threads.index.threads.get(thread_id, ()))
    return [each for each in found if each.circle.id == circle], [each for each in found if each.circle.id != circle]


def opened(state: State, members: Iterable[Found], fetch: Fetch) -> tuple[list[Opened], list[Unreadable]]:
    """The records opened, and those that do not open any longer."""
    said: list[Opened] = []
    shut: list[Unreadable] = []
    for found in members:
        entry, author = found.entry, author_of(state, found.entry)
        try:
            content = opening.open_post(state, found, fetch).content
        except DarkLanternError as error:
            shut.append(Unreadable(entry.id, author, entry.record.time, error.message))
            continue
        pending = opening.is_pending(state, found)
        said.append(Opened(entry.id, author, entry.record.time, pending, content))
    return said, shut


def unread_in(state: State, inside: Iterable[Found]) -> list[str]:
    """The posts of others that were not read and not taken back, by the index alone."""
    me, places = person_of(state), state.threads.places
    return [
        found.entry.id
        for found in standing_in(state, inside)
        if person_behind(state, found.entry) != (me and (me.org, me.person))
        and not is_read(state.threads.marks.get(places[found.entry.id].thread), found.entry, places[found.entry.id])
    ]


def standing_in(state: State, inside: Iterable[Found]) -> list[Found]:
    """The posts that were not taken back, by the index alone."""
    inside, places = list(inside), state.threads.places
    authors = {found.entry.id: person_behind(state, found.entry) for found in inside}
    taken_back = {
        place.post
        for entry, author in authors.items()
        if (place := places[entry]).what == "retraction" and place.post and authors.get(place.post) == author
    }
    return [found for found in inside if places[found.entry.id].what == "post" and found.entry.id not in taken_back]


def person_behind(state: State, entry: SealedEntry) -> tuple[str, str]:
    """(org, person) of whoever signed the entry: all devices of a person speak for that person."""
    return state.owners[entry.record.author_device]


def is_read(mark: Mark | None, entry: SealedEntry, place: Place) -> bool:
    """Whether the mark covers the entry: it stands before the mark, and was here when the mark was set."""
    return mark is not None and entry.position <= mark.position and place.arrival < mark.arrival


def title_of(state: State, root: Found, fetch: Fetch, follows: Follows) -> str | None:
    """The finding's title, or the thread's; None where it does not open, or was taken back."""
    if root.entry.record.kind != "item" and not _begins(state, root.entry.id):
        return None
    try:
        if root.entry.record.kind == "item":
            return opening.open_package(state, root, fetch, follows)[0].finding.title
        content = opening.open_post(state, root, fetch).content
    except DarkLanternError:
        return None  # the thread, or the list of findings, says why
    if not isinstance(content, Post) or _is_taken_back(state, root):
        return None
    return content.title


def about(state: State, post_id: str) -> list[Found]:
    """A post and what was done to it, in the order of the log. Raises RefusedError for one that is not here."""
    place = state.threads.places.get(post_id)
    found = opening.find(state, "post", post_id)
    if place is None:
        raise RefusedError(f"post {post_id} does not open here: {why_not(state, found)}", hint="import a newer bundle")
    index = state.threads.index
    acts = [entry for entry in index.acts.get(post_id, ()) if index.places[entry].thread == place.thread]
    return [each for each in _found(state, (post_id, *acts)) if each.circle.id == found.circle.id]


def _begins(state: State, post_id: str) -> bool:
    place = state.threads.places.get(post_id)
    return place is not None and place.thread == post_id


def _found(state: State, ids: Iterable[str]) -> list[Found]:
    """Those that count, circle by circle in the order of its log; what waits comes last, as it was written."""
    found = [each for entry in ids if (each := opening.look_up(state, "post", entry))]
    return in_order(found)


def _is_taken_back(state: State, root: Found) -> bool:
    return any(
        state.threads.places[each.entry.id].what == "retraction"
        and person_behind(state, each.entry) == person_behind(state, root.entry)
        for each in about(state, root.entry.id)
    )


def _last(state: State, root: Found) -> Found:
    """A thread's last record, or what it hangs on."""
    inside, _ = members_of(state, thread_id_of(state, root), root.circle.id)
    return inside[-1] if inside else root


def _listed(state: State, root: Found, fetch: Fetch, follows: Follows) -> ThreadListed:
    thread_id = thread_id_of(state, root)
    inside, _ = members_of(state, thread_id, root.circle.id)
    return ThreadListed(
        id=thread_id,
        circle=root.circle.id,
        title=title_of(state, root, fetch, follows),
        about_item=root.entry.record.kind == "item",
        posts=sum(state.threads.places[each.entry.id].what == "post" for each in inside),
        unread=len(unread_in(state, inside)),
        newest=_last(state, root).entry.record.time,
    )


def _foreign(state: State, found: Found) -> Ignored:
    what = state.threads.places[found.entry.id].what
    return Ignored(found.entry.id, author_of(state, found.entry), what, "it is in another circle than the thread")


def unplaced_in(state: State, root: Found) -> Iterable[Unreadable]:
    """Records of the root's circle that do not open, so that nobody here knows which thread they are in."""
    for found in unplaced(state):
        entry = found.entry
        if found.circle.id == root.circle.id:
            yield Unreadable(entry.id, author_of(state, entry), entry.record.time, why_not(state, found))
