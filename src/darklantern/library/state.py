"""What a library knows, as one frozen value, and what a step from one to the next writes.

In: a state and records. Out: the next state, or an error and no step. The edge writes the difference
between two states; nothing else reaches the disk.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, TypeVar

from darklantern.errors import RefusedError, StoreError
from darklantern.library import restored
from darklantern.library.own import Own, load_own, own_secrets
from darklantern.library.threads.places import LocalThreads, load_threads, threads_difference
from darklantern.network.circles import Terms, check_closed, check_terms
from darklantern.network.clock import now as judged_now
from darklantern.network.heads import Head, LogFork, read_head, sign_head
from darklantern.network.keyring import Keyring, unlock
from darklantern.network.merging import check_not_frozen
from darklantern.network.reading import leaf_id, read
from darklantern.network.retaining import living
from darklantern.network.rosters import Roster
from darklantern.network.states import Link
from darklantern.network.view import View, admit, ahead, append, fold, is_registered
from darklantern.records.exact import decode, encode
from darklantern.records.record import NOBODY
from darklantern.sealing import Device, LogKey
from darklantern.stores.values import Change, Contents, Waiting

Stored = TypeVar("Stored", bytes, str)

_DEVICE: Final = "device"
_LOG_KEY: Final = "log key"
_EPOCH: Final = "epoch "
_TERMS: Final = "terms "
NET: Final = "net"
"""The setting that holds the network's id; NOBODY before the library has joined one."""
_FORGOTTEN: Final = "forgotten "
_LEFT: Final = "left"


@dataclass(frozen=True, repr=False)
class State:
    """Everything that a library knows. Secret: it does not print."""

    device: Device
    log_key: LogKey | None
    """present where this library keeps logs: it appends for all"""
    view: View
    entries: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    """log → envelopes in order"""
    outbox: tuple[Waiting, ...] = ()
    """what waits for a relay, or another library, to append it"""
    keyring: Keyring = field(default_factory=Keyring)
    threads: LocalThreads = field(default_factory=LocalThreads)
    settings: Mapping[str, str] = field(default_factory=dict)
    """what this device's user has chosen, and what it must remember besides"""
    own: Own = field(default_factory=Own)

    @cached_property
    def device_id(self) -> str:
        """This device, as others name it."""
        return self.device.public.id

    @cached_property
    def owners(self) -> Mapping[str, tuple[str, str]]:
        """Device → (org, person), for every device that a manifest ever listed."""
        return {id: standing.owner for id, standing in self.working.network.devices.items()}

    @cached_property
    def unplaced(self) -> tuple[tuple[str, str], ...]:
        """(circle, id) of each post that counts and is not in the index of threads, in no order."""
        placed = self.threads.places
        return tuple(
            (circle.id, entry_id)
            for circle in self.working.circles.values()
            for entry_id in circle.entries
            if entry_id not in placed and circle.entries[entry_id].record.kind == "post"
        )

    @cached_property
    def working(self) -> View:
        """The view with what waits in the outbox: its author already builds on it."""
        view = self.view
        for circle in self.view.circles:  # what waits for the network's log binds nobody before it is in it
            view = _with_waiting(view, self.standing, circle)
        return view

    @cached_property
    def standing(self) -> tuple[Waiting, ...]:
        """What waits and may still count."""
        return tuple(waiting for waiting in self.outbox if waiting.id not in self.overtaken)

    @property
    def left(self) -> frozenset[str]:
        """Ids in the outbox of records that others may hold by now: none of these may be replaced."""
        return frozenset(self.settings.get(_LEFT, "").split())

    @cached_property
    def overtaken(self) -> Mapping[str, str]:
        """Id in the outbox → why this own record cannot count any more as it is."""
        if not self.outbox:
            return {}
        opaque = {(leaf.log, leaf.position): leaf.reason for leaf in self.view.opaque if leaf.belongs}
        found: dict[str, str] = {}
        for waiting in self.outbox:
            if is_registered(self.view, waiting.log, waiting.id):
                place = waiting.log, self.view.trail(waiting.log).own[waiting.id]
                if place in opaque:
                    found[waiting.id] = opaque[place]
                continue
            record = read(waiting.envelope).record
            if record.author_device == self.device_id and record.seq < len(self._chain(waiting.log)):
                # So it is after a restored backup. It must never leave: it would be the proof that freezes this device.
                found[waiting.id] = "another record of this device stands in its place"
        return found

    @cached_property
    def wanted(self) -> Mapping[str, str]:
        """Piece → log, for every piece that an entry which counts names. Of 100,000 entries it takes 0.2 s, once."""
        return pieces_of(self.working, self.keyring.forgotten)

    @cached_property
    def kept(self) -> frozenset[str]:
        """The logs that this library appends to."""
        logs = (self.view.net, *self.view.circles)
        return frozenset(log for log in logs if self.log_key and self.view.log_key(log) == self.log_key.public)

    def waits(self, log: str) -> str | None:
        """Why nothing may be signed in a log yet, or None: only a library that came from a backup has to wait."""
        return restored.waits(self.view, self.entries, self.settings, self.kept, log)

    @property
    def appends(self) -> frozenset[str]:
        """The logs that this library keeps and may append to now."""
        return frozenset(log for log in self.kept if self.waits(log) is None)

    def now(self, clock: int) -> int:
        """The time to judge by."""
        return judged_now(clock, self.view.floor)

    def terms(self, circle: str) -> Terms:
        """What only members know of the circle. Raises RefusedError where they are not known, or not understood.

        Terms come with an epoch as well as from a founder, and a quorum, or a newer version, may have agreed on
        some that this version cannot keep: then it neither seals nor opens.
        """
        if circle not in self.keyring.terms:
            raise RefusedError(
                f"the terms of circle {circle[:8]}… are not known here, and an unknown level or tag means nobody",
                hint="whoever founded the circle adds its terms; others learn them with their first epoch",
            )
        terms = self.keyring.terms[circle]
        check_terms(terms)
        check_closed(self.view.rules(circle), terms)
        return terms

    def last(self, log: str) -> tuple[int, str] | None:
        """(seq, id) of this device's last record in a log, waiting ones included."""
        for waiting in reversed(self.outbox):
            if waiting.log != log or waiting.id in self.overtaken:
                continue
            record = read(waiting.envelope).record
            if record.author_device == self.device_id:
                return record.seq, waiting.id
        chain = self._chain(log)
        return (len(chain) - 1, chain[-1].id) if chain else None

    def leaving(self, records: Iterable[Waiting]) -> "State":
        """The state in which others may hold these records by now."""
        left = self.left | {waiting.id for waiting in records}
        listed = " ".join(waiting.id for waiting in self.outbox if waiting.id in left)
        return self if listed == self.settings.get(_LEFT, "") else with_setting(self, _LEFT, listed)

    def is_own(self, waiting: Waiting) -> bool:
        """Whether this device wrote it; several write a roster, and whoever has it hands it in."""
        return read(waiting.envelope).record.author_device in (self.device_id, NOBODY)

    def without_others(self, ids: Collection[str]) -> "State":
        """The state that no longer carries these records of others."""
        left = tuple(waiting for waiting in self.outbox if waiting.id not in ids or self.is_own(waiting))
        return replace(self, outbox=left)

    def _chain(self, log: str) -> Sequence[Link]:
        chains = self.view.network.chains if log == self.view.net else self.view.circle(log).chains
        return chains.get(self.device_id) or ()


def pieces_of(view: View, forgotten: Collection[str] = ()) -> dict[str, str]:
    """Piece → log, for every piece that lives, but for those that only entries of `forgotten` epochs need."""
    return {name: circle.id for circle in view.circles.values() for name in living(circle, forgotten)}


def first_contents(
    net: str, device: Device, log_key: LogKey | None, settings: Mapping[str, str] | None = None
) -> Change:
    """What a new library starts with."""
    secrets = {_DEVICE: device.to_bytes()} | ({_LOG_KEY: log_key.to_bytes()} if log_key else {})
    return Change(secrets=secrets, settings={NET: net, **(settings or {})})


def load(contents: Contents) -> State:
    """The state that a store holds: all its records are judged again. Raises StoreError."""
    try:
        net = contents.settings[NET]
        device = Device.from_bytes(contents.secrets[_DEVICE])
    except KeyError as error:
        raise StoreError(
            f"expected the library's {error} in its store, found none", hint="restore the library from a backup"
        ) from error
    log_key = LogKey.from_bytes(contents.secrets[_LOG_KEY]) if _LOG_KEY in contents.secrets else None
    view = fold(net, contents.entries)
    heads = _load_heads(view, contents)
    return State(
        device=device,
        log_key=log_key,
        view=replace(view, heads=heads, forks={log: decode(LogFork, data) for log, data in contents.proofs.items()}),
        entries=contents.entries,
        outbox=contents.outbox,
        keyring=Keyring(
            seeds=_named(contents.secrets, _EPOCH),
            terms={circle: decode(Terms, data) for circle, data in _named(contents.secrets, _TERMS).items()},
            forgotten=frozenset(_named(contents.settings, _FORGOTTEN)),
        ),
        threads=load_threads(contents.local),
        settings=contents.settings,
        own=load_own(contents.secrets),
    )


def difference(old: State, new: State) -> Change:
    """What to write to make the store of `old` the store of `new`."""
    before, after = {w.id for w in old.outbox}, {w.id for w in new.outbox}
    held, owned = own_secrets(old.own), own_secrets(new.own)
    forgotten = {f"{_EPOCH}{id}" for id in old.keyring.seeds.keys() - new.keyring.seeds.keys()}
    return Change(
        entries=tuple(
            (log, position, data)
            for log, envelopes in new.entries.items()
            if envelopes is not old.entries.get(log)
            for position, data in enumerate(envelopes)
            if position >= len(there := old.entries.get(log, ())) or there[position] != data
        ),
        heads={log: head.note for log, head in new.view.heads.items() if old.view.heads.get(log) != head},
        outbox=tuple(waiting for waiting in new.outbox if waiting.id not in before),
        sent=tuple(sorted(before - after)),
        secrets={f"{_EPOCH}{id}": seed for id, seed in new.keyring.seeds.items() if id not in old.keyring.seeds}
        | {
            f"{_TERMS}{id}": encode(terms)
            for id, terms in new.keyring.terms.items()
            if old.keyring.terms.get(id) != terms
        }
        | {name: secret for name, secret in owned.items() if held.get(name) != secret},
        erased=tuple(sorted(forgotten | held.keys() - owned.keys())),
        proofs={log: encode(fork) for log, fork in new.view.forks.items() if log not in old.view.forks},
        local=threads_difference(old.threads, new.threads),
        settings={name: value for name, value in new.settings.items() if old.settings.get(name) != value},
        unset=tuple(sorted(old.settings.keys() - new.settings.keys())),
    )


def forgetting(state: State, epochs: Collection[str]) -> State:
    """The state without the seeds of these epochs, which it takes from nobody again."""
    seeds = {id: seed for id, seed in state.keyring.seeds.items() if id not in epochs}
    keyring = replace(state.keyring, seeds=seeds, forgotten=state.keyring.forgotten | frozenset(epochs))
    settings = {**state.settings, **{f"{_FORGOTTEN}{id}": "yes" for id in epochs}}
    return replace(state, keyring=keyring, settings=settings)


def put(state: State, log: str, data: bytes) -> State:
    """The state with one record of our own making: in the log where we keep it, waiting where we do not.

    Raises DarkLanternError for a record that would not count.
    """
    if not _keeps(state, log, data):
        if read(data).record.author_device == state.device_id:
            restored.check(state.waits(log))
        return _wait(state, log, data)
    restored.check(state.waits(log))
    check_not_frozen(state.view, log)
    refused = admit(state.view, log, data)
    if refused is not None:
        raise RefusedError(refused, hint="nothing was written")
    return appended(state, log, data)


def appended(state: State, log: str, data: bytes) -> State:
    """The state with one more entry in a log that we keep. Its checkpoint is signed by `with_heads`."""
    entries = {**state.entries, log: (*state.entries.get(log, ()), data)}
    return replace(state, view=append(state.view, log, data), entries=entries)


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
    return replace(state, view=replace(state.view, heads=heads))


def with_setting(state: State, name: str, value: str) -> State:
    """The state that remembers `value` under `name`."""
    return replace(state, settings={**state.settings, name: value})


def with_proof(state: State, proof: LogFork) -> State:
    """The state that keeps the proof of a fork: the log is frozen. The first proof stays."""
    return replace(state, view=replace(state.view, forks={proof.log: proof, **state.view.forks}))


def unlocked(state: State) -> State:
    """The state with every seed within this device's reach, also of what still waits for the keeper of its log."""
    keyring = unlock(state.working, state.device_id, state.device.receiving, state.keyring)
    return replace(state, keyring=keyring)


def carrying_on(state: State, log: str | None, data: bytes) -> State:
    """The state in which another's record waits here too, for the keeper of its log: an air gap has no other way out.

    Raises RefusedError for one that would not count, or of a log that is unknown or frozen here.
    """
    if log is None or state.view.log_key(log) is None:
        raise RefusedError("its log is not known here", hint="take the bundle to the one that keeps it")
    check_not_frozen(state.view, log)
    state = _wait(state, log, data)
    return state.leaving(waiting for waiting in state.outbox if waiting.id == leaf_id(data))


def _wait(state: State, log: str, data: bytes) -> State:
    envelope_id = leaf_id(data)
    if any(waiting.id == envelope_id for waiting in state.outbox) or is_registered(state.view, log, envelope_id):
        return state
    view = _with_waiting(state.view, state.standing, log)
    reason = next((leaf.reason for leaf in ahead(view, log, data).opaque if leaf.id == envelope_id), None)
    if reason is not None:
        raise RefusedError(reason, hint="nothing was written")
    return replace(state, outbox=(*state.outbox, Waiting(envelope_id, log, data)))


def _with_waiting(view: View, outbox: tuple[Waiting, ...], log: str) -> View:
    for waiting in outbox:
        if waiting.log == log:
            view = ahead(view, log, waiting.envelope)
    return view


def _keeps(state: State, log: str, data: bytes) -> bool:
    body = read(data).body if log == state.view.net else None
    if isinstance(body, Roster):
        # It says itself who keeps the log from here on: whoever that is appends it, and nobody else.
        return state.log_key is not None and body.log == state.log_key.public
    return log in state.kept


def _load_heads(view: View, contents: Contents) -> dict[str, Head]:
    """The heads of all logs, each compared with the entries that it must cover."""
    heads: dict[str, Head] = {}
    for log in contents.entries.keys() | contents.heads.keys():
        note = contents.heads.get(log)
        key = view.key_of(log, note) if note else None
        head = read_head(note, log, key) if key and note else None
        if head is None or (head.size, head.root) != (view.trail(log).size, view.trail(log).roots[-1]):
            raise StoreError(
                f"the entries of log {log[:8]}… are not those that its checkpoint covers",
                hint="the store is damaged: start anew and import a bundle",
            )
        heads[log] = head
    return heads


def _named(values: Mapping[str, Stored], prefix: str) -> dict[str, Stored]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
