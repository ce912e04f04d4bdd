"""The logs that this library keeps: it appends for all, and signs how long they are.

In: a state and a record. Out: the state whose log has it, or whose checkpoints cover it.
"""

from dataclasses import replace

from darklantern.library.state import State
from darklantern.network.heads import sign_head
from darklantern.network.reading import read
from darklantern.network.rosters import Roster
from darklantern.network.view import append


def keeps(state: State, log: str, data: bytes) -> bool:
    """Whether this library is the one that appends this record to its log."""
    body = read(data).body if log == state.view.net else None
    if isinstance(body, Roster):
        # It says itself who keeps the log from here on: whoever that is appends it, and nobody else.
        return state.log_key is not None and body.log == state.log_key.public
    return log in state.kept


def appended(state: State, log: str, data: bytes) -> State:
    """The state with one more entry in a log that we keep. Its checkpoint is signed by `with_heads`."""
    entries = {**state.entries, log: (*state.entries.get(log, ()), data)}
    return state.with_logs(view=append(state.view, log, data), entries=entries)


def with_heads(state: State, clock: int, *, refresh: bool = False) -> State:
    """The state with a signed checkpoint for each log that we keep and that grew; with `refresh`, for all of them."""
    if state.log_key is None:
        return state
    heads, now = dict(state.view.heads), state.now(clock)
    for log in state.appends - state.view.forks.keys():
        trail, head = state.view.trail(log), heads.get(log)
        taken_over = head is not None and not head.note.startswith(state.view.origin(log).encode() + b"\n")
        if trail.size and (head is None or head.size != trail.size or taken_over or (refresh and head.time < now)):
            # Never before the last one, whatever the clock says: readers refuse a log that goes back in time.
            heads[log] = sign_head(trail, log, state.log_key, max(now, head.time if head else 0))
    return replace(state, logs=state.logs.with_heads(heads)) if heads != state.view.heads else state
