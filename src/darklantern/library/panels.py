"""Acts of panels in an item's thread: which there are, and ratings that this device keeps until they are revealed.

In: a state. Out: acts with the authors that the roster names, in the order of the circle's log; or the next state. What
acts come to is for whoever judges: `darklantern.assess.panels`.
"""

import secrets
from dataclasses import replace

from darklantern.errors import RefusedError
from darklantern.library.opening import Fetch
from darklantern.library.own import Unrevealed
from darklantern.library.state import State
from darklantern.library.threads.indexing import person_of
from darklantern.library.threads.reading import members_of, opened, root_of
from darklantern.network.items import Posting
from darklantern.records.posts import PanelAct
from darklantern.records.ratings import NONCE, Act, Committed, Done, Person, Rating, Revealed, commitment


def acts(state: State, item: str, fetch: Fetch) -> tuple[Done, ...]:
    """Every act in the item's thread, in the order of the log; those of other circles are none.

    Raises RefusedError for an item that is not here.
    """
    root = root_of(state, item)
    inside, _ = members_of(state, item, root.circle.id)
    panel = [each for each in inside if state.threads.places[each.entry.id].what == "panel act"]
    said, _ = opened(state, panel, fetch)
    return tuple(
        Done(each.id, Person(org=each.author.org, person=each.author.person), each.time, each.content.act)
        for each in said
        if isinstance(each.content, PanelAct)
    )


def posting(item: str, act: Act) -> Posting:
    """An act to seal."""
    return Posting(content=PanelAct(thread=item, act=act))


def me(state: State) -> Person:
    """Who speaks. Raises RefusedError for a device that no manifest lists."""
    found = person_of(state)
    if found is None:
        raise RefusedError("no manifest lists this device, so nobody would know who says it", hint="ask your org")
    return Person(org=found.org, person=found.person)


def committed(state: State, panel: str, rating: Rating) -> tuple[State, Committed]:
    """The state that keeps a rating, and the commitment to it. Raises RefusedError where one is kept already."""
    if panel in state.own.unrevealed:
        raise RefusedError(
            "this device has committed to a rating in this panel, and the first commitment counts",
            hint="`library.panels.reveal` shows it once all have committed",
        )
    _check_own(state, rating)
    nonce = secrets.token_hex(NONCE // 2)
    kept = {**state.own.unrevealed, panel: Unrevealed(rating=rating, nonce=nonce)}
    return _keeping(state, kept), Committed(panel=panel, commitment=commitment(rating, nonce))


def revealed(state: State, panel: str) -> Revealed:
    """What this device committed to. It stays here, for a reveal that was too early. Raises RefusedError."""
    kept = state.own.unrevealed.get(panel)
    if kept is None:
        raise RefusedError(
            "this device has committed to nothing in this panel", hint="the device that committed has the rating"
        )
    return Revealed(panel=panel, rating=kept.rating, nonce=kept.nonce)


def _check_own(state: State, rating: Rating) -> None:
    if rating.rater != me(state):
        raise RefusedError(
            f"the rating is {rating.rater.person}'s of {rating.rater.org}, and you are {me(state).person}",
            hint="a rating names who makes it, so that nobody can copy it",
        )


def _keeping(state: State, kept: dict[str, Unrevealed]) -> State:
    return replace(state, own=replace(state.own, unrevealed=kept))
