"""What was read, what to be quiet about, what was announced: steps that its user makes, on this device alone."""

from collections.abc import Mapping
from dataclasses import replace

from darklantern.errors import RefusedError
from darklantern.library.opening import Found
from darklantern.library.state import State
from darklantern.library.threads.notifying import notifications
from darklantern.library.threads.places import LocalThreads, Mark, Quiet
from darklantern.library.threads.reading import members_of, root_of, roots, thread_id_of


def mark_read(state: State, thread_or_log: str, up_to: str | None = None) -> State:
    """The state in which a thread is read, up to a post or all of it; or the alarms of a log. What was read stays so.

    Raises RefusedError for a thread, a log or a post that is not here.
    """
    if _is_log(state, thread_or_log):
        return _marked(state, {thread_or_log: state.view.trail(thread_or_log).size - 1})
    root = root_of(state, thread_or_log)
    if up_to is None:
        return _marked(state, {thread_or_log: _end(state, root)})
    inside, _ = members_of(state, thread_or_log, root.circle.id)
    found = next((each for each in inside if each.entry.id == up_to), None)
    if found is None:
        raise RefusedError(f"thread {thread_or_log} has no post {up_to}", hint="import a newer bundle, or check the id")
    return _marked(state, {thread_or_log: found.entry.position})


def all_read(state: State) -> State:
    """The state in which everything that is here is read."""
    logs = {log: state.view.trail(log).size - 1 for log in (state.view.net, *state.view.circles)}
    return _marked(state, logs | {thread_id_of(state, root): _end(state, root) for root in roots(state)})


def quieted(state: State, thread_or_circle: str, quiet: Quiet | None) -> State:
    """The state with that rule for a thread or a circle, or with none. Raises RefusedError for neither."""
    if thread_or_circle not in state.view.circles:
        root_of(state, thread_or_circle)
    rules = {each: rule for each, rule in state.threads.rules.items() if each != thread_or_circle}
    if quiet:
        rules[thread_or_circle] = quiet
    return _with(state, replace(state.threads, rules=rules))


def told(state: State) -> State:
    """The state in which all that there is to notify of has been announced."""
    return _with(state, replace(state.threads, told=frozenset(each.id for each in notifications(state))))


def _is_log(state: State, id: str) -> bool:
    return id == state.view.net or id in state.view.circles


def _end(state: State, root: Found) -> int:
    """The position of a thread's last record."""
    inside, _ = members_of(state, thread_id_of(state, root), root.circle.id)
    return max(each.entry.position for each in (root, *inside))


def _marked(state: State, positions: Mapping[str, int]) -> State:
    old, arrival = state.threads.marks, state.threads.index.arrivals
    fresh = {
        name: Mark(position=position, arrival=arrival)
        for name, position in positions.items()
        if name not in old or position >= old[name].position
    }
    return _with(state, replace(state.threads, marks={**old, **fresh}))


def _with(state: State, threads: LocalThreads) -> State:
    return state if threads == state.threads else replace(state, threads=threads)
