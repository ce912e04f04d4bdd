"""Merging: what a library holds, and logs from a relay or a bundle, into one new view.

In: a view with its entries, and copies of logs. Out: the merged view and entries, or an error and
nothing. The integrity of each log is all or nothing; what its records mean is judged afterwards,
one by one.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from darklantern.errors import LogError
from darklantern.logs.witness import gathered
from darklantern.network.clock import ClockError, check_forward, check_jump
from darklantern.network.heads import (
    Head,
    Reign,
    check_ends,
    check_extends,
    check_left,
    is_by,
    read_end,
    read_head,
    reign_of,
    reigns,
)
from darklantern.network.reading import leaf_id, read
from darklantern.network.rosters import Roster
from darklantern.network.states import Trail
from darklantern.network.view import View, append, fold
from darklantern.network.witnessing import witness_keys
from darklantern.sealing import LogVerifyKey

Entries = Mapping[str, Sequence[bytes]]
"""log → its envelopes in order"""


@dataclass(frozen=True)
class LogCopy:
    """A log as somebody handed it over: its checkpoint and the entries that it covers, from `start` on.

    Those before `start` are the ones that the receiver holds; under the signed root they must be the same.
    """

    log: str
    note: bytes
    entries: tuple[bytes, ...]
    start: int = 0


@dataclass(frozen=True)
class Merged:
    """The new view and its entries."""

    view: View
    entries: Mapping[str, tuple[bytes, ...]]
    skipped: tuple[str, ...]
    """logs that were left aside: no accepted record names them, or they are frozen"""
    dropped: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    """log → what was held of it beyond where it moved to another key: whoever had left the log appended that"""
    put_off: Mapping[str, str] = field(default_factory=dict)
    """circle's log → why its copy cannot be taken at this time, although nothing else is wrong with it"""


def merge(
    view: View, held: Entries, copies: Sequence[LogCopy], *, kept: frozenset[str], clock: int, confirmed: bool
) -> Merged:
    """`view` and `held` with the entries of `copies`. Raises DarkLanternError and changes nothing otherwise.

    In the logs `kept` a copy may be older than what is held, if it was also signed earlier: whoever handed it over
    does not append to them and had not seen the newest. Anywhere else it is refused: checkpoints never regress.
    """
    # 1. The network's own log first: it names the keys of the others.
    by_log = {copy.log: copy for copy in copies}
    if len(by_log) != len(copies) or view.net not in by_log:
        raise LogError(
            f"expected the log of network {view.net[:8]}… and each log once, got {len(copies)} others",
            hint="this bundle is of another network, or damaged",
        )
    check_not_frozen(view, view.net)
    merging = _Merging(view, held, kept, clock, confirmed)
    own = by_log.pop(view.net)
    network = merging.take(own, merging.network_reigns(own))
    founded = _founded(view, held, network[0])
    # 2. Then each circle's log, under the key that its circle's record names.
    taken: dict[str, tuple[tuple[bytes, ...], Head]] = {view.net: network}
    skipped: list[str] = []
    put_off: dict[str, str] = {}
    for log, copy in by_log.items():
        found = reigns(version.body for version in founded.network.circles.get(log, ()))
        if not found or log in view.forks:
            skipped.append(log)
        else:
            try:
                taken[log] = merging.take(copy, found)
            except ClockError as error:  # two people can found a circle whose log says any time
                put_off[log] = f"{error.message}; {error.hint}"
    # 3. What it all says, in which an entry that waited for another log may count now.
    entries = {log: tuple(data) for log, data in held.items()} | {log: data for log, (data, _) in taken.items()}
    folded, entries = _settled(_folded(founded, held, entries), held, entries)
    heads = {**view.heads, **{log: head for log, (_, head) in taken.items()}}
    dropped = {log: gone for log, (data, _) in taken.items() if (gone := _gone(held.get(log, ()), data))}
    return Merged(replace(folded, heads=heads, forks=view.forks), entries, tuple(skipped), dropped, put_off)


def _gone(held: Sequence[bytes], now: Sequence[bytes]) -> tuple[bytes, ...]:
    """What is no longer in a log; another copy of the same entry is no other entry."""
    same = (at for at, (old, new) in enumerate(zip(held, now, strict=False)) if old is not new and old != new)
    first = next((at for at in same if leaf_id(held[at]) != leaf_id(now[at])), min(len(held), len(now)))
    return tuple(held[first:])


def _founded(view: View, held: Entries, entries: Sequence[bytes]) -> View:
    """The view with all of the network's log, and with the circles' logs as far as they stay what they were.

    What an entry means depends on the prefixes that it cites, which stay. Only one that could not be taken yet, or of
    which a better copy came, means something else than before.
    """
    waits = len(entries) > view.trail(view.net).size and any(leaf.waits for leaf in view.opaque)
    if waits or not _goes_on(held.get(view.net, ()), entries):
        view = View(view.net)
    return _grown(view, view.net, entries)


def _folded(founded: View, held: Entries, entries: Mapping[str, tuple[bytes, ...]]) -> View:
    """The view with what is new of all circles' logs too."""
    view = founded
    for log in entries.keys() - {view.net}:
        if log not in view.circles:
            raise LogError(
                f"circle {log[:8]}… was founded in entries that the network's log has no more since it moved",
                hint="this library cannot follow the move: start anew from a bundle of the new keeper's",
            )
        if view.trail(log).size and not _goes_on(held.get(log, ()), entries[log]):
            return fold(view.net, entries)
        view = _grown(view, log, entries[log])
    return view


def _goes_on(old: Sequence[bytes], new: Sequence[bytes]) -> bool:
    return tuple(new[: len(old)]) == tuple(old)


def _grown(view: View, log: str, entries: Sequence[bytes]) -> View:
    return reduce(lambda grown, data: append(grown, log, data), entries[view.trail(log).size :], view)


def _settled(
    view: View, held: Entries, entries: dict[str, tuple[bytes, ...]]
) -> tuple[View, dict[str, tuple[bytes, ...]]]:
    """`entries` with the held copy of each that another copy did not help, or a bundle could spoil what waits."""
    settled = dict(entries)
    for leaf in view.opaque:
        mine = held.get(leaf.log, ())
        if not leaf.belongs and leaf.position < len(mine):
            data = list(settled[leaf.log])
            data[leaf.position] = mine[leaf.position]
            settled[leaf.log] = tuple(data)
    return (view, entries) if settled == entries else (fold(view.net, settled), settled)


def check_not_frozen(view: View, log: str) -> None:
    """Raises LogError for a log that showed two histories."""
    if log in view.forks:
        raise LogError(
            f"log {log[:8]}… is frozen: it signed two checkpoints that contradict each other",
            hint="the proof is kept; a circle's quorum must found it anew with another log key",
        )


@dataclass(frozen=True)
class _Merging:
    view: View
    held: Entries
    kept: frozenset[str]
    clock: int
    confirmed: bool

    def take(self, copy: LogCopy, reigns: Sequence[Reign]) -> tuple[tuple[bytes, ...], Head]:
        """The entries and the head to hold after seeing `copy`, of a log that has had these keys."""
        log = copy.log
        reign = reign_of(copy.note, log, reigns)
        head = read_head(copy.note, log, reign.key)
        mine, held = self.view.trail(log), self.view.heads.get(log)
        by = reign_of(held.note, log, reigns, held=True) if held else reign
        if held and reigns.index(reign) < reigns.index(by):
            check_ends(log, head, reign, mine)
            return self._older(log, head, held)
        if held and head.size < mine.size and head.root == mine.roots[head.size] and by is reign:
            return self._older(log, head, held)  # whatever came with an older head, none of it is taken
        theirs = self._theirs(copy, mine)
        for before in reigns[: reigns.index(reign)]:
            _check_moved(log, theirs, before)
        if held and by is not reign:
            # Whoever left the log may have gone on with it. Only up to their last checkpoint it is one history.
            check_left(log, mine, held, by, theirs)
            mine = mine.first(_alike(mine, theirs))
        check_extends(log, head, mine, held if by is reign else None, theirs)
        if held and theirs.size > mine.size:
            check_forward(log, head.time, held.time)
        check_jump(head.time, self.clock, confirmed=self.confirmed)
        if held and by is reign and theirs.size == mine.size:
            head = self._newest(head, held)
        return self._best(log, mine, copy), head

    def _older(self, log: str, head: Head, held: Head) -> tuple[tuple[bytes, ...], Head]:
        """What is held, where somebody who does not append to the log had seen less of it."""
        if log not in self.kept or head.time > held.time:  # signed later, and covers less
            size = self.view.trail(log).size
            raise LogError(
                f"log {log[:8]}…: expected at least {size} entries, got a copy of {head.size}: it is older",
                hint="import a bundle made later; if its maker says that there is none, the log was rolled back",
            )
        return tuple(self.held[log]), held

    def _newest(self, head: Head, held: Head) -> Head:
        """The later of two heads over the same entries, with what witnesses said of either."""
        newest, other = (head, held) if head.time > held.time else (held, head)
        keys = witness_keys(self.view)
        return replace(newest, note=gathered(newest.note, [other.note], keys)) if keys else newest

    def network_reigns(self, copy: LogCopy) -> tuple[Reign, ...]:
        """The keys of the network's log: known, named by the pinned first entry, or by a roster that moves the log."""
        known = reigns(version.body for version in self.view.network.rosters) or (Reign(_first_key(copy), None),)
        if any(is_by(copy.note, copy.log, reign.key) for reign in known):
            return known
        mine = self.view.trail(copy.log)
        _check_no_gap(copy, mine.size)
        entries = self._best(copy.log, mine.first(copy.start + self._same(copy, mine)), copy)
        moved = _founded(self.view, self.held, entries).network.rosters
        return reigns(version.body for version in moved) or known

    def _theirs(self, copy: LogCopy, mine: Trail) -> Trail:
        """The trail that the copy claims: as far as it is mine, mine, so that only what differs is hashed."""
        _check_no_gap(copy, mine.size)
        same = self._same(copy, mine)
        return reduce(Trail.append, map(leaf_id, copy.entries[same:]), mine.first(copy.start + same))

    def _same(self, copy: LogCopy, mine: Trail) -> int:
        """How many entries of the copy are mine, from its first on."""
        held = self.held.get(copy.log, ())
        same = 0
        for data, own, envelope_id in zip(copy.entries, held[copy.start :], mine.ids[copy.start :], strict=False):
            if data != own and leaf_id(data) != envelope_id:
                break
            same += 1
        return same

    def _best(self, log: str, mine: Trail, copy: LogCopy) -> tuple[bytes, ...]:
        """The envelopes to try: mine where it is its signer's own, theirs where it is not, or not here.

        The id leaves out signatures, so one copy of an entry can count where another does not.
        """
        opaque = {leaf.position for leaf in self.view.opaque if leaf.log == log and not leaf.belongs}
        held = self.held.get(log, ())
        return (
            *held[: copy.start],
            *(
                held[position] if position < mine.size and position not in opaque else data
                for position, data in enumerate(copy.entries, copy.start)
            ),
        )


def _check_no_gap(copy: LogCopy, size: int) -> None:
    if copy.start > size:
        raise LogError(
            f"log {copy.log[:8]}…: expected entries from {size} on, got those from {copy.start} on",
            hint="ask for what this library lacks: give its holdings to whoever makes the bundle",
        )


def _check_moved(log: str, theirs: Trail, before: Reign) -> None:
    """Raises LogError where a log went on under another key from somewhere else than its quorum said."""
    end = read_end(log, before)
    if end.size > theirs.size or theirs.roots[end.size] != end.root:
        raise LogError(
            f"log {log[:8]}… moved to another key at {end.size} entries, and this copy does not begin with those",
            hint="its new keeper must take over the whole log first: ask them",
        )


def _alike(mine: Trail, theirs: Trail) -> int:
    """How many entries both begin with."""
    size = min(mine.size, theirs.size)
    return bisect_left(range(size), True, key=lambda at: mine.roots[at + 1] != theirs.roots[at + 1])


def _first_key(copy: LogCopy) -> LogVerifyKey:
    _check_no_gap(copy, 0)
    found = read(copy.entries[0]) if copy.entries else None
    if found is None or found.id != copy.log or not isinstance(found.body, Roster):
        raise LogError(
            f"expected the network's first roster, {copy.log}, as the first entry, got another",
            hint="this bundle is of another network, or you pinned another first roster",
        )
    return found.body.log
