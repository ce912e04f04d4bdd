"""Taking what a peer shows of a log: fetched whole, and judged before any of it is kept.

In: a note and entries of a peer, and what is here. Out: a head by the log's own key with the entries that it covers,
or whose fault it is that there is none. It writes nothing, and holds no lock: a peer may take its time.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from darklantern.errors import DarkLanternError, LogError
from darklantern.logs import checkpoint
from darklantern.logs.merkle import Frontier
from darklantern.network.heads import Head, LogFork, origin, proves_fork, read_head
from darklantern.network.reading import leaf_id, read
from darklantern.network.rosters import Roster
from darklantern.network.view import View, append
from darklantern.relay.moving import read_any_head
from darklantern.relay.peers import BYTES_A_SECOND, PeerClient
from darklantern.relay.stores import Entry
from darklantern.relay.stores.values import after
from darklantern.sealing import LogVerifyKey

_TAKE_S: Final = 900
"""for all of a log that is new, beside what its bytes may take; nothing of it counts before its end"""

_ENTRY_BYTES: Final = 256
"""what an entry takes beside its own bytes"""


class ForkSeenError(LogError):
    """A log's key has signed two histories: one is here, and a peer shows the other."""

    def __init__(self, log: str, key: LogVerifyKey) -> None:
        super().__init__(
            f"the key of log {log[:8]}… has signed two histories: one is here, a peer has the other",
            hint="its appender is dishonest, or was restored from a backup: stop, and compare the two",
        )
        self.key = key


@dataclass(frozen=True)
class Taken:
    """What a peer has more of a log."""

    head: Head
    start: int
    """how many entries were here when it was asked"""
    entries: tuple[Entry, ...]

    def beyond(self, frontier: Frontier) -> tuple[Entry, ...]:
        """Those that a log which ends at `frontier` lacks; none where they do not go on from there to the head."""
        lacking = self.entries[max(0, frontier.size - self.start) :]
        if frontier.size < self.start or after(frontier, lacking).root != self.head.root:
            return ()
        return lacking


def head_of(view: View, log: str, note: bytes, peer: PeerClient, most_bytes: int) -> Head | None:
    """What the note says by a key of that log; None where no record that counts names the log, or it has moved away.

    Raises LogError, SignatureError, PeerError.
    """
    if log != view.net:
        return read_any_head(view, log, note) if view.log_key(log) else None
    key = _new_key(view, note, peer, most_bytes)
    if key is None:
        return read_any_head(view, log, note) if view.log_key(log) else None
    return read_head(note, log, key)


def take(view: View, log: str, head: Head, peer: PeerClient, notes: Iterable[bytes], most_bytes: int) -> Taken | None:
    """What is new up to `head`; None where nothing is. `notes` are those of the log that are kept here.

    Raises ForkSeenError for two signed heads that contradict each other, and for nothing else: whatever other bytes
    a peer sends are the peer's fault, which a LogError says.
    """
    trail = view.trail(log)
    if head.size <= trail.size:
        if trail.roots[head.size] != head.root:
            _check_forked(log, view.key_of(log, head.note), head, notes, trail.ids)
        return None
    fetching = _Fetching(peer, log, most_bytes)
    entries = fetching.entries(trail.size, head.size)
    if after(trail.frontier, entries).root == head.root:
        return Taken(head, trail.size, entries)
    # Two histories, or two lies: only all that the peer has can show which.
    whole = fetching.entries(0, trail.size) + entries
    _check_forked(log, view.key_of(log, head.note), head, notes, [entry.id.hex() for entry in whole])
    return None


class _Fetching:
    """Entries of one log, within bounds for all of them together."""

    def __init__(self, peer: PeerClient, log: str, most_bytes: int) -> None:
        self._peer = peer
        self._log = log
        self._left = most_bytes
        self._until = time.monotonic() + _TAKE_S

    def entries(self, start: int, stop: int) -> tuple[Entry, ...]:
        """Those from `start` up to `stop`. Raises LogError, PeerError."""
        found: list[Entry] = []
        while (at := start + len(found)) < stop:
            for data in self._peer.entries(self._log, at, stop):
                self._left -= len(data) + _ENTRY_BYTES
                self._until += len(data) / BYTES_A_SECOND
                found.append(Entry(bytes.fromhex(leaf_id(data)), data))
            if self._left < 0 or time.monotonic() > self._until:
                raise LogError(
                    f"log {self._log[:8]}… did not end within the bytes and the time that a peer has for it",
                    hint="raise unverified_bytes if the log is really so long",
                )
        return tuple(found)


def _check_forked(
    log: str, key: LogVerifyKey | None, head: Head, notes: Iterable[bytes], longer: Iterable[str]
) -> None:
    """Always raises: ForkSeenError where the head and a note of ours are proof, LogError where they are none.

    `longer` are the ids that the larger of the two is said to cover.
    """
    said, leaves = checkpoint.parse(head.note)[0], tuple(longer)
    for note in notes:
        mine = checkpoint.parse(note)[0]
        fork = LogFork(log=log, first=note, second=head.note, leaves=leaves[: max(mine.size, said.size)])
        if key and mine.origin == said.origin and proves_fork(fork, key):
            raise ForkSeenError(log, key)
    raise LogError(
        f"expected entries of log {log[:8]}… that give the signed root, got others", hint="is the peer sound?"
    )


def _new_key(view: View, note: bytes, peer: PeerClient, most_bytes: int) -> LogVerifyKey | None:
    """The key that the network's log has by what the peer has more of it, where the note is by none that is known here.

    The first roster is what was pinned; of a later one enough of the roots before it have signed that the log moves.
    """
    if view.log_key(view.net) is None:
        found = read(peer.entries(view.net, 0, 1)[0])
        return found.body.log if found.id == view.net and isinstance(found.body, Roster) else None
    said = checkpoint.parse(note)[0]
    if said.origin in {origin(version.body.log, view.net) for version in view.network.rosters}:
        return None
    entries = _Fetching(peer, view.net, most_bytes).entries(view.trail(view.net).size, said.size)
    if not any(_names(entry, view.net, said.origin) for entry in entries):
        return None
    for entry in entries:
        view = append(view, view.net, entry.envelope)
    key = view.log_key(view.net)
    return key if key and origin(key, view.net) == said.origin else None


def _names(entry: Entry, net: str, name: str) -> bool:
    """Whether it reads as a roster by which the network's log has this name. That it counts is judged elsewhere."""
    with suppress(DarkLanternError):
        body = read(entry.envelope).body
        return isinstance(body, Roster) and origin(body.log, net) == name
    return False
