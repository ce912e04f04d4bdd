"""Acts of panels in an item's thread: which there are, and ratings that this device keeps until they are revealed.

In: a state. Out: acts with the authors that the roster names, in the order of the circle's log; or the next state. What
acts come to is for whoever judges: `darklantern.assess.panels`.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from darklantern.errors import RefusedError
from darklantern.library.opening import Fetch
from darklantern.library.own import Unrevealed
from darklantern.library.state import State
from darklantern.library.threads.indexing import person_of
from darklantern.library.threads.reading import members_of, opened, root_of, unplaced_in
from darklantern.library.threads.values import Unreadable
from darklantern.network.clock import text
from darklantern.network.items import Posting
from darklantern.records.posts import PanelAct
from darklantern.records.ratings import (
    NONCE,
    Act,
    Committed,
    Done,
    PanelOpened,
    Person,
    Rating,
    Revealed,
    commitment,
)


@dataclass(frozen=True)
class Acts:
    """What panels did about an item, as far as it opens here."""

    done: tuple[Done, ...]
    """in the order of the circle's log"""
    unreadable: tuple[Unreadable, ...]
    """records of the circle that may be acts and do not open here: whoever judges must not read them as silence"""

    @property
    def unread(self) -> frozenset[Person]:
        """Whose acts may be missing."""
        return frozenset(Person(org=each.author.org, person=each.author.person) for each in self.unreadable)


def acts(state: State, item: str, fetch: Fetch) -> Acts:
    """Every act in the item's thread; those of other circles are none. Raises RefusedError for an item not here."""
    root = root_of(state, item)
    inside, _ = members_of(state, item, root.circle.id)
    panel = [each for each in inside if state.threads.places[each.entry.id].what == "panel act"]
    said, shut = opened(state, panel, fetch)
    done = tuple(
        Done(each.id, Person(org=each.author.org, person=each.author.person), each.time, each.content.act)
        for each in said
        if isinstance(each.content, PanelAct)
    )
    return Acts(done, (*shut, *unplaced_in(state, root)))


def posting(item: str, act: Act) -> Posting:
    """An act to seal."""
    return Posting(content=PanelAct(thread=item, act=act))


def me(state: State) -> Person:
    """Who speaks. Raises RefusedError for a device that no manifest lists."""
    found = person_of(state)
    if found is None:
        raise RefusedError("no manifest lists this device, so nobody would know who says it", hint="ask your org")
    return Person(org=found.org, person=found.person)


def committed(state: State, panel: str, rating: Rating, done: Sequence[Done]) -> tuple[State, Committed]:
    """The state that keeps a rating, and the commitment to it. `done` are the thread's acts.

    Raises RefusedError where this person has committed already, on this device or another, or the panel is not here.
    """
    _opened(done, panel)
    _check_own(state, rating)
    if panel in state.own.unrevealed:
        raise RefusedError(
            "this device has committed to a rating in this panel, and the first commitment counts",
            hint="`library.panels.reveal` shows it once all have committed",
        )
    if me(state) in _committers(done, panel):
        raise RefusedError(
            "you have committed to a rating in this panel from another device, and the first commitment counts",
            hint="reveal it there: the rating is on that device and nowhere else",
        )
    nonce = secrets.token_hex(NONCE // 2)
    kept = {**state.own.unrevealed, panel: Unrevealed(rating=rating, nonce=nonce)}
    return _keeping(state, kept), Committed(panel=panel, commitment=commitment(rating, nonce))


def revealed(state: State, panel: str, done: Sequence[Done], now: int) -> Revealed:
    """What this device committed to, `now` in seconds since 1970. It stays here too.

    Raises RefusedError for nothing committed to, and where others may still commit: they would see it first.
    """
    kept = state.own.unrevealed.get(panel)
    if kept is None:
        raise RefusedError(
            "this device has committed to nothing in this panel", hint="the device that committed has the rating"
        )
    opened, committers = _opened(done, panel), _committers(done, panel)
    awaited = [each.who for each in opened.raters if not {each.who, each.substitute} & committers]
    if awaited and text(now) <= opened.commit_by:
        names = ", ".join(f"{who.person} of {who.org}" for who in awaited)
        raise RefusedError(
            f"not committed yet: {names}; they have until {opened.commit_by}, and would see your rating first",
            hint="reveal once all have committed, or that time is over; nothing was sent",
        )
    return Revealed(panel=panel, rating=kept.rating, nonce=kept.nonce)


def _opened(done: Sequence[Done], panel: str) -> PanelOpened:
    for each in done:
        if each.id == panel and isinstance(each.act, PanelOpened):
            return each.act
    raise RefusedError(f"no panel {panel[:16]}… is in this item's thread", hint="`library.panels.acts` has those here")


def _committers(done: Sequence[Done], panel: str) -> set[Person | None]:
    return {each.who for each in done if isinstance(each.act, Committed) and each.act.panel == panel}


def _check_own(state: State, rating: Rating) -> None:
    if rating.rater != me(state):
        raise RefusedError(
            f"the rating is {rating.rater.person}'s of {rating.rater.org}, and you are {me(state).person}",
            hint="a rating names who makes it, so that nobody can copy it",
        )


def _keeping(state: State, kept: dict[str, Unrevealed]) -> State:
    return replace(state, own=replace(state.own, unrevealed=kept))
