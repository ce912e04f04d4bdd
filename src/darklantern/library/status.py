"""What is held, what is there, what waits and for whom, what is stale and since when: in numbers, and in words.

In: a state, the pieces that are here, a time. Out: a frozen value. It asks nobody: what a relay has is what it showed
at the last sync.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from darklantern.counted import counted
from darklantern.library import acting
from darklantern.library.ended import ended
from darklantern.library.foreign import foreign
from darklantern.library.state import State
from darklantern.library.syncing.remembering import relays, visits
from darklantern.network.advising import advice
from darklantern.network.clock import text
from darklantern.network.items import Sealed
from darklantern.network.own_chain import Foreign
from darklantern.network.pledges import PledgeText, command
from darklantern.network.reading import read
from darklantern.records.exact import Time
from darklantern.stores.values import Waiting


@dataclass(frozen=True)
class WaitingRecord:
    """One record in the outbox."""

    id: str
    kind: str
    problem: str | None
    """why it cannot count as it is, where it cannot"""


@dataclass(frozen=True)
class LogStatus:
    """One log: the network's own, or a circle's."""

    log: str
    name: str
    held: int
    """entries"""
    there: Mapping[str, int]
    """relay id → how many it showed at the last sync"""
    as_of: Time | None
    """when its newest checkpoint here was signed"""
    stale_since: Time | None
    """since when nothing is sealed that depends on it, by its circle's freshness limit"""
    frozen: bool
    """it showed two histories"""
    silent: str | None
    """why this library, which came from a backup, signs nothing in it yet"""
    kept_here: bool
    appender: str | None
    """id of the relay that appends to it, where it is one of those known here"""
    waiting: tuple[WaitingRecord, ...]
    missing: tuple[str, ...]
    """pieces that its entries name and that are not here"""
    to_sign: tuple[PledgeText, ...]
    """pledges that its circle asks for and this device's person has not signed, or no longer"""
    signed: tuple[PledgeText, ...]
    """pledges that its circle asks for and they have signed, in a record that waits here"""

    def lines(self, relay_names: Mapping[str, str]) -> Iterator[str]:
        """The same in words."""
        yield f"{self.name}: {counted(self.held, 'entry')}, {f'as of {self.as_of}' if self.as_of else 'never seen'}"
        if self.frozen:
            yield f"{self.name} is frozen: it showed two histories, and the proof is kept"
        if self.silent:
            yield f"{self.name}: nothing is signed here yet: {self.silent}"
        if self.stale_since:
            yield f"{self.name} is stale since {self.stale_since}: nothing is sealed before a sync brings news"
        for pledge in self.to_sign:
            yield f"{self.name}: you are no member without the pledge {pledge.name!r}: `{command(pledge)}`"
        for pledge in self.signed:
            yield f"{self.name}: you are no member before the pledge {pledge.name!r}: your signature waits: sync"
        for relay, size in self.there.items():
            if size != self.held:
                more = (
                    f"{counted(size - self.held, 'entry')} more"
                    if size > self.held
                    else f"{counted(self.held - size, 'entry')} fewer"
                )
                yield f"{self.name}: {relay_names[relay]} showed {more} than are held here"
        if self.waiting:
            whom = relay_names[self.appender] if self.appender else "the keeper of its log: sync, or carry a bundle"
            yield f"{self.name}: {counted(len(self.waiting), 'record')} waiting for {whom}"
        for record in self.waiting:
            if record.problem:
                yield f"{self.name}: the {record.kind} {record.id[:16]} cannot count as it is: {record.problem}"
        if self.missing:
            yield f"{self.name}: {counted(len(self.missing), 'piece')} missing, the first is {self.missing[0]}"


@dataclass(frozen=True)
class RelayStatus:
    """One relay that this library syncs with."""

    id: str
    name: str
    synced: Time | None
    """when a sync with it last went well"""
    problem: str | None
    """what ended the last one early"""

    def lines(self) -> Iterator[str]:
        """The same in words."""
        yield f"{self.name}: {f'synced {self.synced}' if self.synced else 'never synced'}"
        if self.problem:
            yield f"{self.name}: the last sync ended early: {self.problem}"


@dataclass(frozen=True)
class Status:
    """All of it."""

    logs: tuple[LogStatus, ...]
    relays: tuple[RelayStatus, ...]
    foreign: tuple[Foreign, ...]
    """records under this device's signature that it did not write: its key is in other hands"""
    ended: tuple[str, ...]
    """what this device, or its person, no longer belongs to"""
    advice: tuple[str, ...]
    """what the loss of one person would lock"""

    def lines(self) -> tuple[str, ...]:
        """What a person reads."""
        names = {relay.id: relay.name for relay in self.relays}
        found = [*map(str, self.foreign), *self.ended, *(line for relay in self.relays for line in relay.lines())]
        return (*found, *(line for log in self.logs for line in log.lines(names)), *self.advice)


def status(state: State, pieces: Collection[str], clock: int) -> Status:
    """The status at `clock`, with these pieces here."""
    known, last, now = relays(state), visits(state), state.now(clock)
    me = state.view.network.devices.get(state.device_id)
    missing: dict[str, list[str]] = {}
    for name, log in state.wanted.items():
        if name not in pieces:
            missing.setdefault(log, []).append(name)
    names = [state.view.net, *sorted(state.view.circles)]
    logs = tuple(_log(state, log, now, missing.get(log, []), pieces) for log in names)
    return Status(
        logs=logs,
        relays=tuple(
            RelayStatus(
                id=id,
                name=card.urls[0],
                synced=text(visit.good) if (visit := last.get(id)) and visit.good is not None else None,
                problem=last[id].problem if id in last else None,
            )
            for id, card in sorted(known.items())
        ),
        foreign=tuple(foreign(state)),
        ended=tuple(ended(state, now, told={log.log for log in logs if log.to_sign or log.signed})),
        advice=advice(state.view, me.org, state.keyring.terms.keys()) if me else (),
    )


def _log(state: State, log: str, now: int, missing: list[str], pieces: Collection[str]) -> LogStatus:
    view = state.view
    head, key = view.heads.get(log), view.log_key(log)
    known, last, problems = relays(state), visits(state), _problems(state, log)
    wanting = view.to_sign(log, state.device_id, now) if log in view.circles else ()
    signed = acting.signed(state, wanting, now)
    return LogStatus(
        log=log,
        name=state.name_of(log),
        held=view.trail(log).size,
        there={id: visit.there[log] for id, visit in sorted(last.items()) if id in known and log in visit.there},
        as_of=text(head.time) if head else None,
        stale_since=_stale_since(state, log, now),
        frozen=log in view.forks,
        silent=state.waits(log),
        kept_here=log in state.kept,
        appender=next((id for id, card in sorted(known.items()) if card.public.log == key), None),
        waiting=tuple(
            WaitingRecord(
                waiting.id, read(waiting.envelope).record.kind, problems.get(waiting.id) or _lost(waiting, pieces)
            )
            for waiting in state.outbox
            if waiting.log == log
        ),
        missing=tuple(sorted(missing)),
        to_sign=tuple(pledge for pledge in wanting if pledge not in signed),
        signed=tuple(pledge for pledge in wanting if pledge in signed),
    )


def _problems(state: State, log: str) -> Mapping[str, str]:
    """Record in the outbox → why the logs as they are now would not let it count."""
    if not state.outbox or log not in state.working.circles:
        return state.overtaken
    return {**{leaf.id: leaf.reason for leaf in state.working.circle(log).opaque}, **state.overtaken}


def _lost(waiting: Waiting, pieces: Collection[str]) -> str | None:
    body = read(waiting.envelope).body
    lost = [name for name in body.names if name not in pieces] if isinstance(body, Sealed) else []
    return f"its piece {lost[0][:16]}… is not here" if lost else None


def _stale_since(state: State, log: str, now: int) -> Time | None:
    """By the circle's own limit; the network's log by the strictest of all circles that depend on it."""
    view = state.view
    circles = view.circles if log == view.net else (log,)
    limit = min((view.rules(circle).freshness for circle in circles), default=None)
    head = view.heads.get(log)
    if limit is None or head is None or log in state.kept or now - head.time <= limit:
        return None
    return text(head.time + limit)
