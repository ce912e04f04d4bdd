"""Which thread each post belongs to: found by opening it once, when it comes, and written with the entries.

What a post belongs to is sealed with it, so that without this index a thread would cost opening all posts of
its circle. In: a state and the pieces. Out: the state with whatever can be placed now.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from darklantern.errors import DarkLanternError
from darklantern.library.opening import Fetch, Found, open_post
from darklantern.library.state import State
from darklantern.library.threads.places import place_of
from darklantern.network.keyring import seed_of
from darklantern.records.posts import Mention


def placed(state: State, fetch: Fetch) -> State:
    """The state with every post in its index that opens here. The very same state where there is nothing to place.

    One whose key or pieces are missing is asked for again with the next step; one that does not open in spite of
    them is listed as a problem, and tried again when the library is next opened.
    """
    threads, me = state.threads, person_of(state)
    places, problems = dict(threads.places), dict(threads.problems)
    for found in _unplaced(state):
        entry = found.entry
        held = dict(fetch(entry.body.pieces))
        if any(name not in held for name in entry.body.pieces):
            continue
        try:
            content = open_post(state, found, partial(_of, held)).content
        except DarkLanternError as error:
            problems[entry.id] = error.message
        else:
            places[entry.id] = place_of(entry.id, content, me, len(places))
    if len(places) == len(threads.places) and len(problems) == len(threads.problems):
        return state
    return replace(state, threads=replace(threads, places=places, problems=problems))


def _unplaced(state: State) -> list[Found]:
    """Posts of which nothing is known and whose key is here, in the order of each log."""
    known, seeds = (state.threads.places, state.threads.problems), state.keyring.seeds
    found = [
        Found(circle, entry)
        for circle in state.working.circles.values()
        for entry in circle.entries.values()
        if entry.record.kind == "post"
        and not any(entry.id in each for each in known)
        and entry.body.header.epoch in seeds
    ]
    return sorted(found, key=lambda each: (each.circle.id, each.entry.position, each.entry.record.seq))


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
