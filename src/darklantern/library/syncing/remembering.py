"""Which relays this library syncs with, and what came of the last time.

In: cards and reports. Out: settings in the encrypted store, and back. A relay is known by its card; whoever has the
card can find the relay, so it is told to nobody.
"""

from dataclasses import replace
from typing import Annotated, Final, Literal

import msgspec

from darklantern.errors import RefusedError
from darklantern.library.state import State, with_setting
from darklantern.library.syncing.reports import RelaySync
from darklantern.records.exact import Sha256, Value, decode, encode
from darklantern.sealing import RelayCard

_RELAY: Final = "relay "
_VISIT: Final = "visit "

Count = Annotated[int, msgspec.Meta(ge=0)]


class Visit(Value, frozen=True, kw_only=True):
    """The last sync with one relay."""

    v: Literal[1] = 1
    time: Count
    """seconds since 1970, by this device's clock"""
    there: dict[Sha256, Count]
    """log → how many entries it showed"""
    problem: str | None
    """what ended it early"""
    good: Count | None
    """when one last went well"""


def relays(state: State) -> dict[str, RelayCard]:
    """Relay id → card."""
    return {id: decode(RelayCard, text.encode()) for id, text in _settings(state, _RELAY).items()}


def visits(state: State) -> dict[str, Visit]:
    """Relay id → what came of the last sync with it."""
    return {id: decode(Visit, text.encode()) for id, text in _settings(state, _VISIT).items()}


def added(state: State, card: RelayCard) -> State:
    """The state that knows a relay, or its newer card."""
    return with_setting(state, _RELAY + card.public.id, encode(card).decode())


def removed(state: State, relay: str) -> State:
    """The state without the relay of that id. Raises RefusedError when it knows none."""
    if _RELAY + relay not in state.settings:
        raise RefusedError(
            f"no relay {relay[:16]} is known here", hint="`darklantern status --json` lists those that are, with ids"
        )
    kept = {name: value for name, value in state.settings.items() if name not in (_RELAY + relay, _VISIT + relay)}
    return replace(state, settings=kept)


def visited(state: State, relay: str, report: RelaySync, time: int) -> State:
    """The state that remembers what came of a sync with a relay that it knows."""
    before = visits(state).get(relay)
    problem = report.error.message if report.error else None
    good = (before.good if before else None) if problem else time
    there = dict(report.there) or (dict(before.there) if before else {})
    visit = Visit(time=time, there=there, problem=problem, good=good)
    return with_setting(state, _VISIT + relay, encode(visit).decode())


def _settings(state: State, prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): text for name, text in state.settings.items() if name.startswith(prefix)}
