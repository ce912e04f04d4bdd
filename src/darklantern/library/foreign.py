"""Records that bear this device's signature and were not written here: remembered for good.

In: a state before and after logs have grown. Out: the state that remembers what is not its own, and what it remembers.
Whoever has this device's keys can write in its name, and no log can tell; this library can, for it knows what waited
in its outbox. A library that came from a backup cannot, until it has everything that it had written since.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from darklantern.library.state import State
from darklantern.network.own_chain import Foreign, not_written, own_records

_FOREIGN: Final = "foreign "
"""Setting, with a record's id behind it: its log and its position when it was seen first."""


def with_foreign(before: State, state: State) -> State:
    """The state that remembers each record under its device's name that neither stood in a log before nor waited."""
    written = own_records(before.view, state.device_id) | {waiting.id for waiting in before.outbox}
    fresh = {
        _FOREIGN + each.id: f"{each.log} {each.position}"
        for each in not_written(state.view, state.device_id, written)
        if before.waits(each.log) is None
    }
    return replace(state, settings={**fresh, **state.settings}) if fresh else state


def foreign(state: State) -> Iterator[Foreign]:
    """All that is remembered."""
    for name, where in state.settings.items():
        if name.startswith(_FOREIGN):
            log, position = where.split(" ")
            yield Foreign(log, int(position), name.removeprefix(_FOREIGN))
