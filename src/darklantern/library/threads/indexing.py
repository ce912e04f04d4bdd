"""Which thread each post belongs to: found by opening it once, when it comes, and written with the entries.

What a post belongs to is sealed with it, so that without this index a thread would cost opening all posts of
its circle. In: a state and the pieces. Out: the state with whatever can be placed now.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial

from darklantern.errors import DarkLanternError
from darklantern.library.news import News, since
from darklantern.library.opening import Fetch, Found, in_order, look_up, open_post
from darklantern.library.state import State
from darklantern.library.threads.places import LocalThreads, place_of
from darklantern.network.keyring import seed_of
from darklantern.records.posts import Mention


def placed(state: State, what: News, fetch: Fetch) -> State:
    """The state, which `what` led to, with every post in its index that opens here, and nothing else there.

    One whose key or pieces are missing is looked at again when they come; one that does not open in spite of them is
    listed as a problem, and tried again when the library is next opened.
    """
    threads, me = _without(state, what.gone), person_of(state)
    index, left, problems = threads.index, threads.unplaced, threads.problems
    for found in (*what.came, *what.again):
        entry = found.entry
        if entry.record.kind != "post" or entry.id in index.places or entry.id in problems:
            continue
        left = left.insert(entry.id, found.circle.id)
        if entry.body.header.epoch not in state.keyring.seeds:
            continue
        held = dict(fetch(entry.body.pieces))
        if any(name not in held for name in entry.body.pieces):
            continue
        try:
            content = open_post(state, found, partial(_of, held)).content
        except DarkLanternError as error:
            problems = problems.insert(entry.id, error.message)
        else:
            index = index.plus(entry.id, place_of(entry.id, content, me, index.arrivals))
            left = left.remove(entry.id)
    return replace(state, threads=replace(threads, index=index, unplaced=left, problems=problems))


def unindexed(state: State) -> News:
    """What an index as it is stored lacks, and what it should not hold: for a library that is being opened."""
    found = since(state, set(state.threads.places))
    return News(tuple(each for each in found.came if each.entry.record.kind == "post"), found.gone)


def _without(state: State, gone: Collection[str]) -> LocalThreads:
    """The index without what counts no longer. What was forgotten with its seed still stands in its log: unplaced."""
    threads = state.threads
    index, left, problems = threads.index, threads.unplaced, threads.problems
    for id in gone:
        index, left, problems = index.minus(id), left.discard(id), problems.discard(id)
        found = look_up(state, "post", id)
        left = left.insert(id, found.circle.id) if found else left
    return replace(threads, index=index, unplaced=left, problems=problems)


def unplaced(state: State) -> list[Found]:
    """Posts that count and are not in the index, circle by circle in the order of its log."""
    return _in_order(state, state.threads.unplaced)


def _in_order(state: State, unplaced: Mapping[str, str]) -> list[Found]:
    circles = state.working.circles
    return in_order(Found(circles[circle], circles[circle].entries[id]) for id, circle in unplaced.items())


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
