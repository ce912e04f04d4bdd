"""What was read, what to be quiet about, what was announced: steps that its user makes, on this device alone."""

from dataclasses import replace

from darklantern.errors import RefusedError
from darklantern.library import opening
from darklantern.library.state import State
from darklantern.library.threads.notifying import notifications
from darklantern.library.threads.places import LocalThreads, Mark, Quiet
from darklantern.library.threads.reading import members_of, root_of


def mark_read(state: State, thread_or_log: str, up_to: str | None = None) -> State:
    """The state in which a thread is read, up to a post or all of it; or the alarms of a log. What was read stays so.

    Raises RefusedError for a thread, a log or a post that is not here.
    """
    view = state.view
    if thread_or_log == view.net or thread_or_log in view.circles:
        return _marked(state, thread_or_log, view.trail(thread_or_log).size - 1)
    root = root_of(state, thread_or_log)
    inside, _ = members_of(state, thread_or_log, root.circle.id)
    if up_to is None:
        return _marked(state, thread_or_log, max(each.entry.position for each in (root, *inside)))
    found = next((each for each in inside if each.entry.id == up_to), None)
    if found is None:
        raise RefusedError(f"thread {thread_or_log} has no post {up_to}", hint="import a newer bundle, or check the id")
    return _marked(state, thread_or_log, found.entry.position)


def all_read(state: State) -> State:
    """The state in which everything that is here is read."""
    logs = [state.view.net, *state.view.circles]
    threads = {
        state.threads.places[found.entry.id].thread
        for found in opening.entries(state, "post")
        if found.entry.id in state.threads.places
    }
    for each in sorted({*logs, *threads, *(found.entry.id for found in opening.entries(state, "item"))}):
        state = mark_read(state, each)
    return state


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


def _marked(state: State, name: str, position: int) -> State:
    old = state.threads.marks.get(name)
    if old and old.position > position:
        return state
    mark = Mark(position=position, arrival=state.threads.arrivals)
    return _with(state, replace(state.threads, marks={**state.threads.marks, name: mark}))


def _with(state: State, threads: LocalThreads) -> State:
    return state if threads == state.threads else replace(state, threads=threads)
