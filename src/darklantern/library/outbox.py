"""The outbox: records that wait for the keeper of their log, of one's own and carried for others.

In: a state and a record. Out: the next state, or an error that names the rule and no step.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from darklantern.errors import RefusedError
from darklantern.library import restored
from darklantern.library.keeping import appended, keeps
from darklantern.library.state import LEFT, State, with_setting
from darklantern.network.carried import check_carried
from darklantern.network.heads import LogFork
from darklantern.network.merging import check_not_frozen
from darklantern.network.reading import leaf_id, read
from darklantern.network.view import admit, is_registered, refusal
from darklantern.stores.values import Waiting


def put(state: State, log: str, data: bytes) -> State:
    """The state with one record of our own making: in the log where we keep it, waiting where we do not.

    Raises DarkLanternError for a record that would not count.
    """
    if not keeps(state, log, data):
        if read(data).record.author_device == state.device_id:
            restored.check(state.waits(log))
        return _wait(state, log, data)
    restored.check(state.waits(log))
    check_not_frozen(state.view, log)
    refused = admit(state.view, log, data)
    if refused is not None:
        raise RefusedError(refused, hint="nothing was written")
    return appended(state, log, data)


def carrying_on(state: State, log: str | None, data: bytes) -> State:
    """The state in which another's record waits here too, for the keeper of its log: an air gap has no other way out.

    Raises RefusedError for one that has no place, or of a log that is unknown or frozen here, or for too many.
    """
    if log is None or state.view.log_key(log) is None:
        raise RefusedError("its log is not known here", hint="take the bundle to the one that keeps it")
    check_not_frozen(state.view, log)
    if _is_here(state, log, data):
        return state
    load = check_carried(state.logs.ahead.of(log), log, data, state.logs.load)
    return replace(state, logs=state.logs.plus(Waiting(leaf_id(data), log, data), load))


def leaving(state: State, ids: Iterable[str]) -> State:
    """The state in which others may hold these records of the outbox by now."""
    left = state.left | frozenset(ids)
    listed = " ".join(waiting.id for waiting in state.outbox if waiting.id in left)
    return state if listed == state.settings.get(LEFT, "") else with_setting(state, LEFT, listed)


def with_proof(state: State, proof: LogFork) -> State:
    """The state that keeps the proof of a fork: the log is frozen. The first proof stays."""
    return state.with_logs(view=replace(state.view, forks={proof.log: proof, **state.view.forks}))


def without_others(state: State, ids: Collection[str]) -> State:
    """The state that no longer carries these records of others."""
    left = tuple(waiting for waiting in state.outbox if waiting.id not in ids or state.is_own(waiting))
    return state.with_logs(outbox=left)


def _wait(state: State, log: str, data: bytes) -> State:
    if _is_here(state, log, data):
        return state
    reason = refusal(state.logs.ahead.of(log), log, data)
    if reason is not None:
        raise RefusedError(reason, hint="nothing was written")
    return replace(state, logs=state.logs.plus(Waiting(leaf_id(data), log, data)))


def _is_here(state: State, log: str, data: bytes) -> bool:
    envelope_id = leaf_id(data)
    return any(waiting.id == envelope_id for waiting in state.outbox) or is_registered(state.view, log, envelope_id)
