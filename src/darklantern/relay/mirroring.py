"""Mirroring: another relay's logs, verified, kept, cosigned.

In: what a peer shows. Out: the same entries in our database, our cosignature there. Nothing is stored before a
checkpoint of the log's own key covers it and its root is right; and nothing waits for a peer but what is its own. The
same way gives a relay its own logs back, when its database was restored from an older backup: what its own key signed
is its own.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from blake3 import blake3

from darklantern.errors import DarkLanternError, LogError, RecordError, SignatureError
from darklantern.network.heads import Head, read_head
from darklantern.network.view import append
from darklantern.relay.folded import Folded
from darklantern.relay.known_peers import KnownPeers
from darklantern.relay.moving import finals, read_any_head
from darklantern.relay.needs import needed, no_longer_needed
from darklantern.relay.peers import PeerClient
from darklantern.relay.pieces import Pieces
from darklantern.relay.stores import Append, Commit, Database, Need, QuotaError
from darklantern.relay.taking import ForkSeenError, Taken, head_of, take
from darklantern.relay.telling import short, tell
from darklantern.relay.witnessing import Witnessing
from darklantern.sealing import RelayCard, RelayKey

_BLOBS_AT_ONCE: Final = 1000
_PEERS_AT_ONCE: Final = 64
_FULL_S: Final = 3600
"""between two questions for a blob of a log for which there was no room: each time it comes in vain"""
P = ParamSpec("P")
T = TypeVar("T")


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
        threads: Executor,
        most_bytes: int,
    ) -> None:
        self.id = card.public.id
        self._card = card
        self._peer = PeerClient(card, key, net)
        self._database = database
        self._folded = folded
        self._pieces = pieces
        self._witnessing = witnessing
        self._threads = threads
        self._most_bytes = most_bytes
        self._full: dict[str, float] = {}
        """logs of which blobs are missing here for want of room → when to ask for them again"""

    @property
    def is_full(self) -> bool:
        """Whether blobs were left behind for want of room."""
        return bool(self._full)

    async def pull(self) -> None:
        """Take what is new there, and cosign it. Raises DarkLanternError; what was taken before that is kept.

        A log that the peer shows wrongly is left out, and told of in the end.
        """
        notes = await self._in_thread(self._peer.heads)
        fault: DarkLanternError | None = None
        # The network's log first: it names the others and their keys.
        net = self._folded.view.net
        for log in (net, *sorted(notes.keys() - {net})):
            try:
                if log in notes:
                    await self._pull(log, notes[log])
            except (LogError, RecordError, SignatureError) as error:
                fault = error if fault is None or isinstance(error, ForkSeenError) else fault
        if fault:
            raise fault

    def end(self) -> None:
        """Break off what is being asked."""
        self._peer.end()

    async def _pull(self, log: str, note: bytes) -> None:
        head, taken = await self._in_thread(self._take, log, note)
        if head is None:
            return
        if taken:
            async with self._folded.turn:
                await asyncio.to_thread(self._keep, log, taken)
        await self._in_thread(self._fetch_blobs, log)
        await self._in_thread(self._cosign, log, note)

    async def _in_thread(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Where others than this peer need not wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(ask, *args, **kwargs))

    def _take(self, log: str, note: bytes) -> tuple[Head | None, Taken | None]:
        view = self._folded.view
        head = head_of(view, log, note, self._peer, self._most_bytes)
        if head is None:
            return None, None
        kept = (*self._database.newest_notes(log, 1), *finals(view, log))
        return head, take(view, log, head, self._peer, kept, self._most_bytes)

    def _keep(self, log: str, taken: Taken) -> None:
        """For who holds the view's turn. Others may have appended since the peer was asked."""
        self._folded.catch_up()
        view, head = self._folded.view, taken.head
        entries = taken.beyond(view.trail(log).frontier)
        # Judged here as by the readers: what its tombstones take back goes with the same commit.
        after_it = view
        for entry in entries:
            after_it = append(after_it, log, entry.envelope)
        if not entries or read_any_head(after_it, log, head.note) is None:  # it has moved meanwhile
            return
        step = Append(log, view.trail(log).frontier, entries, head.note, head.time)
        names = {name for entry in entries for name in needed(after_it, log, entry.id.hex())}
        needs, drops = tuple(Need(log, name) for name in sorted(names)), no_longer_needed(view, after_it, log)
        self._database.commit(Commit((step,), needs, drops=drops, time=head.time))
        self._folded.view = after_it
        if drops:
            self._pieces.collect()

    def _fetch_blobs(self, log: str) -> None:
        if self._full.get(log, 0) > time.monotonic():
            return
        last = ""
        while names := self._database.wanted(log, last, _BLOBS_AT_ONCE):
            last = names[-1]
            lacking = self._peer.missing(log, names)
            for name in names:
                data = None if name in lacking else self._peer.blob(log, name)
                if data is not None and blake3(data).hexdigest() == name:
                    try:
                        self._pieces.mirror(log, name, data, self.id)
                    except QuotaError as error:  # its records and its other logs are mirrored all the same
                        self._full[log] = time.monotonic() + _FULL_S
                        tell("peer", peer=short(self.id), problem=type(error).__name__)
                        return
        self._full.pop(log, None)

    def _cosign(self, log: str, note: bytes) -> None:
        """Only for the appender itself, which shows the line to all others."""
        view = self._folded.view
        key = view.log_key(log)
        if key is None or key != self._card.public.log:
            return
        if line := self._witnessing.vouch(log, read_head(note, log, key)):
            self._peer.send_cosignature(log, line)


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
        most_bytes: int,
    ) -> None:
        self._peers = peers
        self._threads = ThreadPoolExecutor(_PEERS_AT_ONCE, "peer")
        self._make: Callable[[RelayCard], Mirror] = lambda card: Mirror(
            card, key, folded.view.net, database, folded, pieces, witnessing, self._threads, most_bytes
        )
        self._mirrors: dict[str, tuple[RelayCard, Mirror]] = {}

    def all(self) -> tuple[Mirror, ...]:
        """One for each; it keeps its log-in from one time to the next while its card stays the same."""
        asked = {id: peer.card for id, peer in self._peers.all().items() if peer.pull}
        for id, card in asked.items():
            known = self._mirrors.get(id)
            if known is None or known[0] != card:
                if known:
                    known[1].end()
                self._mirrors[id] = card, self._make(card)
        for _, mirror in (self._mirrors.pop(id) for id in self._mirrors.keys() - asked.keys()):
            mirror.end()
        return tuple(mirror for _, mirror in self._mirrors.values())

    def full(self) -> int:
        """How many peers have blobs for which there is no room here."""
        return sum(mirror.is_full for _, mirror in self._mirrors.values())

    def end(self) -> None:
        """Break off all that is being asked."""
        for _, mirror in self._mirrors.values():
            mirror.end()
        self._threads.shutdown(wait=False, cancel_futures=True)
