"""A state out of the store, and the difference between two states that goes into it.

In: what the store holds. Out: a state, all of it judged again, or StoreError. The other way, what to write: only this
reaches the disk.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from darklantern.errors import StoreError
from darklantern.library.logs import Logs
from darklantern.library.own import load_own, own_secrets
from darklantern.library.state import State
from darklantern.library.threads.places import load_threads, threads_difference
from darklantern.network.circles import Terms
from darklantern.network.heads import Head, LogFork, read_head
from darklantern.network.keyring import Keyring
from darklantern.network.view import View, fold
from darklantern.records.exact import decode, encode
from darklantern.sealing import Device, LogKey
from darklantern.stores.values import Change, Contents

Stored = TypeVar("Stored", bytes, str)

_DEVICE: Final = "device"
_LOG_KEY: Final = "log key"
_EPOCH: Final = "epoch "
_TERMS: Final = "terms "
NET: Final = "net"
"""The setting that holds the network's id; NOBODY before the library has joined one."""
FORGOTTEN: Final = "forgotten "
"""Setting, with an epoch's id behind it: its seed was destroyed, and is taken from nobody again."""


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
    forks = {log: decode(LogFork, data) for log, data in contents.proofs.items()}
    return State(
        device=device,
        log_key=log_key,
        logs=Logs(device.public.id, replace(view, heads=heads, forks=forks), contents.entries, contents.outbox),
        keyring=Keyring(
            seeds=_named(contents.secrets, _EPOCH),
            terms={circle: decode(Terms, data) for circle, data in _named(contents.secrets, _TERMS).items()},
            forgotten=frozenset(_named(contents.settings, FORGOTTEN)),
        ),
        threads=load_threads(contents.local),
        settings=contents.settings,
        own=load_own(contents.secrets),
    )


def difference(old: State, new: State, placed: Collection[str] = ()) -> Change:
    """What to write to make the store of `old` the store of `new`.

    `placed` are the posts that may stand elsewhere in the index of threads.
    """
    before, after = {w.id for w in old.outbox}, {w.id for w in new.outbox}
    held, owned = own_secrets(old.own), own_secrets(new.own)
    forgotten = {f"{_EPOCH}{id}" for id in old.keyring.seeds.keys() - new.keyring.seeds.keys()}
    return Change(
        entries=tuple(
            (log, position, data)
            for log, envelopes in new.entries.items()
            if envelopes is not old.entries.get(log)
            for position, data in _beyond(old.entries.get(log, ()), envelopes)
        ),
        shortened=tuple(
            (log, len(envelopes))
            for log, envelopes in new.entries.items()
            if len(envelopes) < len(old.entries.get(log, ()))
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
        local=threads_difference(old.threads, new.threads, placed),
        settings={name: value for name, value in new.settings.items() if old.settings.get(name) != value},
        unset=tuple(sorted(old.settings.keys() - new.settings.keys())),
    )


def _beyond(old: tuple[bytes, ...], new: tuple[bytes, ...]) -> Iterator[tuple[int, bytes]]:
    """(position, entry) of each that is not the same in both."""
    start = len(old) if new[: len(old)] == old else 0
    for position, data in enumerate(new[start:], start):
        if position >= len(old) or old[position] != data:
            yield position, data


def _load_heads(view: View, contents: Contents) -> dict[str, Head]:
    """The heads of all logs, each compared with the entries that it must cover."""
    heads: dict[str, Head] = {}
    for log in contents.entries.keys() | contents.heads.keys():
        note = contents.heads.get(log)
        key = view.key_of(log, note, held=True) if note else None
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
