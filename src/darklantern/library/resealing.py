"""Own records that the logs have overtaken: their content is sealed and signed again, never lost in silence.

In: a state whose logs have grown. Out: a state whose outbox fits them, new pieces, and which record became which.

Two records at one place of this device's chain would freeze it. So a record that has left this library is never
replaced: it goes into its log as it is, and where it does not count there, its content follows in a new one. One
that has not left, and is sealed to an epoch that this device would no longer seal to, is replaced in its place.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from darklantern.counted import counted
from darklantern.errors import DarkLanternError, RefusedError
from darklantern.library import sharing
from darklantern.library.opening import Fetch, Found, open_entry
from darklantern.library.outbox import put, without_others
from darklantern.library.state import State
from darklantern.network.authoring import authored
from darklantern.network.deciding import plan
from darklantern.network.items import Package, Posting, Sealed
from darklantern.network.links import tidy_links
from darklantern.network.reading import leaf_id, read
from darklantern.network.states import SealedEntry
from darklantern.network.view import is_registered
from darklantern.stores.values import Waiting


@dataclass(frozen=True)
class Remade:
    """What came of it."""

    state: State
    pieces: Mapping[str, bytes]
    remade: tuple[tuple[str, str], ...]
    """(old id, new id)"""
    refused: tuple[tuple[str, str], ...]
    """(id, reason): these wait, and are tried again after the next sync"""


def remade(state: State, fetch: Fetch, clock: int) -> Remade:
    """The state without records that are in their log and count, and with new ones for those that cannot count."""
    state, dropped = _tidied(state)
    pieces, ids = dict[str, bytes](), dict[str, str]()
    refused = list(dropped)
    for log in _logs(state):
        # 1. What has not left: all of it in its order, or none, since each stands on the one before.
        stale = _stale(state, log, clock)
        try:
            made, added, names = _again_in_order(state, stale, fetch, ids, clock)
        except DarkLanternError as error:
            refused += [(waiting.id, f"it cannot be sealed again now: {error.message}") for waiting in stale]
        else:
            state, pieces, ids = made, pieces | added, ids | names
        # 2. What the log has overtaken: one by one, at the end of the chain.
        for waiting in [waiting for waiting in state.outbox if waiting.log == log and waiting.id in state.overtaken]:
            try:
                made, added, names = _again_in_order(state, (waiting,), fetch, ids, clock)
            except DarkLanternError as error:
                reason = state.overtaken[waiting.id]
                refused.append((waiting.id, f"{reason}; and it cannot be sealed again now: {error.message}"))
            else:
                state, pieces, ids = made, pieces | added, ids | names
    return Remade(state, pieces, tuple(ids.items()), tuple(refused))


def without(state: State, ids: Collection[str], fetch: Fetch, clock: int) -> Remade:
    """The state without these records of the outbox; what this device wrote after them in their logs is signed anew.

    Raises RefusedError for one that is not there, that the logs have already, or that others may hold, unless its log
    is closed to this device: there it could only wait for ever. Others may hold it all the same.
    """
    gone = {waiting.id: waiting for waiting in state.outbox if waiting.id in ids}
    for id in ids:
        if id not in gone:
            raise RefusedError(f"no record {id[:16]} waits here", hint="`darklantern status` lists those that do")
        stuck = id in state.left and not _is_closed(state, gone[id].log)
        if state.is_own(gone[id]) and (stuck or is_registered(state.view, gone[id].log, id)):
            raise RefusedError(
                f"record {id[:16]} has left this library: others may hold it, and another in its place would be taken "
                "for a forgery by this device",
                hint="sync: it goes into its log as it is; what is in a log can be taken back (`bury`)",
            )
    state = without_others(state, ids)
    pieces, names = dict[str, bytes](), dict[str, str]()
    for log in sorted({each.log for each in state.outbox if each.id in ids}):
        own = [each for each in state.outbox if each.log == log and state.is_own(each)]
        first = next(place for place, each in enumerate(own) if each.id in ids)
        after = tuple(each for each in own[first:] if each.id not in ids)
        if after and _is_closed(state, log):
            raise RefusedError(
                f"{counted(len(after), 'record')} of this device follow in a log that is closed to it, and cannot be "
                "signed anew",
                hint=f"drop them with it: {' '.join(each.id[:16] for each in after)}",
            )
        state, added, made = _again_in_order(state, after, fetch, names, clock, frozenset(ids))
        pieces, names = pieces | added, names | made
    return Remade(state, pieces, tuple(names.items()), ())


def sendable(state: State, clock: int) -> tuple[Waiting, ...]:
    """What may leave the outbox: neither overtaken, nor sealed to others than this device would seal to now.

    Nor does anything leave a restored library before its log's keeper has spoken: its place may be taken there.
    """
    stays = {*state.overtaken, *(waiting.id for log in _logs(state) for waiting in _stale(state, log, clock))}
    return tuple(each for each in state.outbox if each.id not in stays and state.waits(each.log) is None)


def _is_closed(state: State, log: str) -> bool:
    """Whether this device may write in a log no more, as the network's log says: removed, or revoked."""
    network, id = state.view.network, state.device_id
    if id not in network.devices:  # no manifest that is here lists it yet
        return False
    is_for_it = log == state.view.net or network.lets_in(log, network.devices[id].owner, id)
    return not (is_for_it and network.is_active(id))


def _tidied(state: State) -> tuple[State, tuple[tuple[str, str], ...]]:
    """The state without what has landed, but for own content that landed and does not count; and what that loses."""
    left: list[Waiting] = []
    dropped: list[tuple[str, str]] = []
    for waiting in state.outbox:
        found = read(waiting.envelope)
        mine, reason = found.record.author_device == state.device_id, state.overtaken.get(waiting.id)
        landed = is_registered(state.view, waiting.log, waiting.id)
        if not landed or (reason and mine and isinstance(found.body, Sealed)):
            left.append(waiting)
        elif reason and found.record.kind != "epoch":
            dropped.append((waiting.id, f"it is in its log and does not count: {reason}"))
    return state.with_logs(outbox=tuple(left)), tuple(dropped)


def _stale(state: State, log: str, clock: int) -> tuple[Waiting, ...]:
    """Records of a circle's log that have not left and may not leave as they are; with one of them, all of them."""
    fresh = tuple(
        waiting
        for waiting in state.outbox
        if waiting.log == log and waiting.id not in state.left and waiting.id not in state.overtaken
    )
    if log == state.view.net or not fresh:
        return ()
    if any(leaf.id == waiting.id for leaf in state.working.circle(log).opaque for waiting in fresh):
        return fresh
    try:
        made = plan(
            state.working,
            log,
            state.device_id,
            seeds=state.keyring.seeds.keys(),
            kept=state.kept,
            now=state.now(clock),
        )
    except RefusedError:
        return ()  # nobody can say to whom it should be sealed instead
    bodies = [body for waiting in fresh if isinstance(body := read(waiting.envelope).body, Sealed)]
    right = made.epoch.id if made.epoch else None
    return fresh if any(body.header.epoch != right for body in bodies) else ()


def _again_in_order(
    state: State,
    records: tuple[Waiting, ...],
    fetch: Fetch,
    replaced: Mapping[str, str],
    clock: int,
    dropped: Collection[str] = (),
) -> tuple[State, dict[str, bytes], dict[str, str]]:
    """New records in place of these, and none in place of the dropped. Raises DarkLanternError."""
    gone = {*dropped, *(waiting.id for waiting in records)}
    opened = state  # still sees the epochs that they were sealed to
    state = state.with_logs(outbox=tuple(waiting for waiting in state.outbox if waiting.id not in gone))
    pieces, ids = dict[str, bytes](), dict[str, str]()
    for waiting in records:
        found = read(waiting.envelope)
        if isinstance(found.body, Sealed):
            entry = SealedEntry(found.id, -1, found.record, found.body, state.owners[state.device_id])
            content, level = open_entry(opened, Found(opened.view.circle(waiting.log), entry), fetch)
            content = _renamed(content, {**replaced, **ids})
            state, made, sealed = sharing.seal_again(
                state, content, waiting.log, level, tuple(found.body.attached), clock
            )
            pieces |= sealed
        elif found.record.kind == "epoch":
            continue  # the next seal makes another, if one is needed
        else:
            last, now = state.last(waiting.log), state.now(clock)
            data = authored(state.view, waiting.log, found.record.kind, found.body, state.device, last, now)
            state, made = put(state, waiting.log, data), leaf_id(data)
        ids[waiting.id] = made
    return state, pieces, ids


def _renamed(content: Package | Posting, ids: Mapping[str, str]) -> Package | Posting:
    """The content, naming items and posts that were made again by their new ids."""
    if isinstance(content, Package):
        links = tidy_links((link.kind, ids.get(link.item, link.item)) for link in content.links)
        supersedes = content.supersedes and ids.get(content.supersedes, content.supersedes)
        return msgspec.structs.replace(content, supersedes=supersedes, links=links)
    said = content.content
    named = {field: getattr(said, field) for field in ("thread", "post", "reply_to") if getattr(said, field, None)}
    again = msgspec.structs.replace(said, **{field: ids.get(id, id) for field, id in named.items()})
    return msgspec.structs.replace(content, content=again)


def _logs(state: State) -> Iterator[str]:
    """The logs that something waits for, the network's first: a circle's records may depend on it."""
    waits = {waiting.log for waiting in state.outbox}
    return iter(sorted(waits - state.view.forks.keys(), key=lambda log: (log != state.view.net, log)))
