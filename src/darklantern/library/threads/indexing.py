"""Which thread each post belongs to: found by opening it once, when it comes, and written with the entries.

What a post belongs to is sealed with it, so that without this index a thread would cost opening all posts of
its circle. In: a state and the pieces. Out: the state with whatever can be placed now.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from darklantern.errors import DarkLanternError
from darklantern.library.opening import Fetch, Found, in_order, open_post
from darklantern.library.state import State
from darklantern.library.threads.places import PostIndex, place_of
from darklantern.network.keyring import seed_of
from darklantern.records.posts import Mention


def placed(state: State, fetch: Fetch) -> State:
    """The state with every post in its index that opens here, and nothing else there. The very same if it was so.

    One whose key or pieces are missing is asked for again with the next step; one that does not open in spite of
    them is listed as a problem, and tried again when the library is next opened.
    """
    threads, me = state.threads, person_of(state)
    gone = _gone(state)
    places = {entry: place for entry, place in threads.places.items() if entry not in gone}
    problems = {entry: problem for entry, problem in threads.problems.items() if entry not in gone}
    arrival = threads.index.arrivals
    for found in unplaced(state):
        entry = found.entry
        if entry.id in problems or entry.body.header.epoch not in state.keyring.seeds:
            continue
        held = dict(fetch(entry.body.pieces))
        if any(name not in held for name in entry.body.pieces):
            continue
        try:
            content = open_post(state, found, partial(_of, held)).content
        except DarkLanternError as error:
            problems[entry.id] = error.message
        else:
            places[entry.id] = place_of(entry.id, content, me, arrival)
            arrival += 1
    if (places, problems) == (threads.places, threads.problems):
        return state
    return replace(state, threads=replace(threads, index=PostIndex(places), problems=problems))


def unplaced(state: State) -> list[Found]:
    """Posts that count and are not in the index, circle by circle in the order of its log."""
    circles = state.working.circles
    return in_order(Found(circles[circle], circles[circle].entries[entry_id]) for circle, entry_id in state.unplaced)


def _gone(state: State) -> frozenset[str]:
    """What was placed and counts no longer, or was forgotten with the seed of its epoch."""
    circles, forgotten = state.working.circles.values(), state.keyring.forgotten
    known = {*state.threads.places, *state.threads.problems}
    gone = known.difference(*(circle.entries for circle in circles))
    if forgotten:
        gone |= {
            entry_id
            for circle in circles
            for entry_id in circle.entries
            if entry_id in known and circle.entries[entry_id].body.header.epoch in forgotten
        }
    return frozenset(gone)


def _of(held: Mapping[str, bytes], names: Iterable[str]) -> Mapping[str, bytes]:
    return held


def why_not(state: State, found: Found) -> str:
    """Why a post that is not in the index is not."""
    if found.entry.id in state.threads.problems:
        return state.threads.problems[found.entry.id]
    try:
        seed_of(state.keyring, found.entry.body.header.epoch)
    except DarkLanternError as error:
        return error.message
    return "its pieces are not all here, or are damaged: import a bundle that carries them"


def person_of(state: State) -> Mention | None:
    """Whose library this is, or None before a manifest lists its device."""
    standing = state.working.network.devices.get(state.device_id)
    return Mention(org=standing.org, person=standing.person) if standing else None
