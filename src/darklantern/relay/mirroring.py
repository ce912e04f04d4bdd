"""Mirroring: another relay's logs, verified, kept, cosigned.

In: what a peer shows. Out: the same entries in our database, our cosignature there. Nothing is stored before a
checkpoint of the log's own key covers it and its root is right. The same way gives a relay its own logs back, when
its database was restored from an older backup: what its own key signed is its own.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from blake3 import blake3

from darklantern.errors import DarkLanternError, LogError
from darklantern.logs import add_checkpoint, merkle
from darklantern.network.heads import Head, read_head
from darklantern.network.reading import leaf_id, read
from darklantern.network.rosters import Roster
from darklantern.network.view import View, append
from darklantern.relay.folded import Folded
from darklantern.relay.known_peers import KnownPeers
from darklantern.relay.moving import read_any_head
from darklantern.relay.needs import buried, names_of
from darklantern.relay.peers import PeerClient
from darklantern.relay.pieces import Pieces
from darklantern.relay.stores import Append, Database, Entry, Group, Uses
from darklantern.relay.stores.values import after
from darklantern.relay.witnessing import Witnessing
from darklantern.sealing import LogVerifyKey, RelayCard, RelayKey

_BLOBS_AT_ONCE: Final = 1000


class ForkSeenError(LogError):
    """A peer shows another history of a log than the one here."""


class Mirror:
    """What one peer has, followed."""

    def __init__(
        self,
        card: RelayCard,
        key: RelayKey,
        net: str,
        database: Database,
        folded: Folded,
        pieces: Pieces,
        witnessing: Witnessing,
    ) -> None:
        self.id = card.public.id
        self._card = card
        self._peer = PeerClient(card, key, net)
        self._database = database
        self._folded = folded
        self._pieces = pieces
        self._witnessing = witnessing

    async def pull(self) -> None:
        """Take what is new there, and cosign it. Raises DarkLanternError; what was taken before that is kept."""
        notes = await asyncio.to_thread(self._peer.heads)
        # The network's log first: it names the others and their keys.
        view = self._folded.view
        for log in (view.net, *sorted(notes.keys() - {view.net})):
            if log in notes:
                await self._pull(log, notes[log])

    async def _pull(self, log: str, note: bytes) -> None:
        async with self._folded.turn:
            await asyncio.to_thread(self._folded.catch_up)
            await asyncio.to_thread(self._take, log, note)
        await asyncio.to_thread(self._fetch_blobs, log)
        await asyncio.to_thread(self._cosign, log, note)

    def _take(self, log: str, note: bytes) -> None:
        view = self._folded.view
        trail = view.trail(log)
        if view.log_key(log) is not None:
            head = read_any_head(view, log, note)
        else:
            first = self._first_key(view) if log == view.net else None
            head = read_head(note, log, first) if first else None
        if head is None:  # no record that counts names this log, or it has moved away from there
            return
        if head.size <= trail.size:
            if trail.roots[head.size] != head.root:
                raise _forked(log)
            return
        entries: list[Entry] = []
        while (at := trail.size + len(entries)) < head.size:
            entries += [Entry(bytes.fromhex(leaf_id(data)), data) for data in self._peer.entries(log, at, head.size)]
        if after(trail.frontier, tuple(entries)).root != head.root:
            raise _forked(log)
        # Judged here as by the readers: what its tombstones take back goes with the same commit.
        after_it = view
        for entry in entries:
            after_it = append(after_it, log, entry.envelope)
        step = Append(log, trail.frontier, tuple(entries), head.note, head.time)
        drops = buried(view, after_it, log)
        self._database.commit(Group((step,), _uses(log, entries), drops=drops, time=head.time))
        self._folded.view = after_it
        if drops:
            self._pieces.collect()

    def _first_key(self, view: View) -> LogVerifyKey | None:
        found = read(self._peer.entries(view.net, 0, 1)[0])
        return found.body.log if found.id == view.net and isinstance(found.body, Roster) else None

    def _fetch_blobs(self, log: str) -> None:
        last = ""
        while names := self._database.wanted(log, last, _BLOBS_AT_ONCE):
            last = names[-1]
            lacking = self._peer.missing(log, names)
            for name in names:
                data = None if name in lacking else self._peer.blob(log, name)
                if data is not None and blake3(data).hexdigest() == name:
                    self._pieces.put_now(log, name, data, f"peer:{self._card.public.id}")

    def _cosign(self, log: str, note: bytes) -> None:
        """Only for the appender itself, which shows the line to all others."""
        view = self._folded.view
        key = view.log_key(log)
        if key is None or key != self._card.public.log:
            return
        head = read_head(note, log, key)
        if request := self._request(view, log, head):
            answer = self._witnessing.cosign(request)
            if answer.status == 200:
                self._peer.send_cosignature(log, answer.body)

    def _request(self, view: View, log: str, head: Head) -> add_checkpoint.Request | None:
        """The request that goes on from what was cosigned last; None when that is this very checkpoint."""
        old, _ = self._database.witnessed(view.origin(log))
        if old >= head.size:
            return None
        trail = view.trail(log)
        leaves = [merkle.leaf_hash(bytes.fromhex(id)) for id in trail.ids[: head.size]]
        return add_checkpoint.Request(old, merkle.consistency(leaves, old), head.note)


class Mirrors:
    """All peers that are asked, as the roster and the settings name them now."""

    def __init__(
        self,
        peers: KnownPeers,
        key: RelayKey,
        database: Database,
        folded: Folded,
        pieces: Pieces,
        witnessing: Witnessing,
    ) -> None:
        self._peers = peers
        self._make: Callable[[RelayCard], Mirror] = lambda card: Mirror(
            card, key, folded.view.net, database, folded, pieces, witnessing
        )
        self._mirrors: dict[str, tuple[RelayCard, Mirror]] = {}

    def all(self) -> tuple[Mirror, ...]:
        """One for each; it keeps its log-in from one time to the next while its card stays the same."""
        asked = {id: peer.card for id, peer in self._peers.all().items() if peer.pull}
        for id, card in asked.items():
            if id not in self._mirrors or self._mirrors[id][0] != card:
                self._mirrors[id] = card, self._make(card)
        self._mirrors = {id: self._mirrors[id] for id in asked}
        return tuple(mirror for _, mirror in self._mirrors.values())


def _uses(log: str, entries: Sequence[Entry]) -> tuple[Uses, ...]:
    """What these entries need of blobs. One that does not read as a record of a known kind needs none."""
    counts: Counter[str] = Counter()
    for entry in entries:
        with suppress(DarkLanternError):
            counts.update(names_of(read(entry.envelope)))
    return tuple(Uses(log, name, count) for name, count in counts.items())


def _forked(log: str) -> ForkSeenError:
    return ForkSeenError(
        f"log {log[:8]}… has another history at a peer than here",
        hint="its appender signed both, or one database is damaged: stop, and compare the two",
    )
