"""Vouching for logs: taking cosignatures of others, and giving one's own.

In: notes, proofs and cosignature lines. Out: cosignature lines, or refusals as c2sp.org/tlog-witness has them. The
memory of what was cosigned is in the database, and changes in one transaction before a line leaves the relay.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from darklantern.errors import LogError, SignatureError
from darklantern.logs import add_checkpoint, checkpoint, notes, witness
from darklantern.logs.add_checkpoint import Remembered, Response
from darklantern.network.heads import Head, origin
from darklantern.network.view import View
from darklantern.relay.exchange import Answer, Request
from darklantern.relay.folded import Folded
from darklantern.relay.known_peers import KnownPeers
from darklantern.relay.problems import Problem
from darklantern.relay.readers import Asker
from darklantern.relay.stores import Cosignature, Database
from darklantern.sealing import RelayKey

_MAX_LINES: Final = 64 * 1024


class Witnessing:
    """One relay as a witness, and as the appender that others witness."""

    def __init__(
        self,
        database: Database,
        folded: Folded,
        key: RelayKey,
        peers: KnownPeers,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._folded = folded
        self._key = key
        self._peers = peers
        self._clock = clock

    async def take(self, log: str, request: Request, asker: Asker) -> Answer:
        """Cosignatures of a peer over a checkpoint that is here. Raises Problem."""
        if not asker.is_peer:
            raise Problem(403, "expected a witness, got a device", "only relays cosign")
        lines = witness.read_lines(await request.body(_MAX_LINES))
        for line in lines:
            await asyncio.to_thread(self._keep, log, line)
        return Answer(204)

    async def answer(self, request: Request) -> Answer:
        """The witness's cosignature over a note that goes on from what this relay has cosigned."""
        body = await request.body(add_checkpoint.MAX_REQUEST)
        try:
            asked = add_checkpoint.decode_request(body)
        except LogError as error:
            raise Problem(400, error.message, error.hint) from error
        response = await asyncio.to_thread(self.cosign, asked)
        return Answer(response.status, response.body, response.content_type.encode())

    def vouch(self, log: str, head: Head) -> bytes | None:
        """The cosignature over a head of another's log, signed by its key, where all of the log is kept here.

        Nothing has to be proven then: the root after each entry is known. None where that is another root, where what
        was cosigned last is no beginning of it, and where it is as long. For a thread.
        """
        view, now = self._folded.view, int(self._clock())
        key, roots = view.log_key(log), view.trail(log).roots
        if key is None or key == self._key.log.public:
            return None

        def judged(size: int, root: bytes) -> tuple[int, bytes] | None:
            kept = size < head.size < len(roots) and roots[head.size] == head.root and roots[size] == root
            return (head.size, head.root) if kept else None

        name = origin(key, log)
        old, _ = self._database.witnessed(name)
        if old >= head.size or not self._database.remember(name, judged):  # the second of these writes
            return None
        return witness.cosign(head.note, name, key, self._key.witness, self._key.public.witness_name, now)

    def cosign(self, asked: add_checkpoint.Request) -> Response:
        """The same for a request with a proof, as others make it. For a thread."""
        name, now = self._key.public.witness_name, int(self._clock())
        log = _log_of(self._folded.view, asked.origin)
        key = self._folded.view.log_key(log) if log else None
        if key is None or log is None or key == self._key.log.public:
            return add_checkpoint.judge(asked, None)  # type: ignore[return-value]  # nothing remembered: it refuses
        refusals: list[Response] = []

        def judged(size: int, root: bytes) -> tuple[int, bytes] | None:
            said = add_checkpoint.judge(asked, Remembered(asked.origin, key, size, root))
            if isinstance(said, Response):
                refusals.append(said)
                return None
            return said.size, said.root

        if not self._database.remember(asked.origin, judged):
            return refusals[-1]
        return add_checkpoint.accepted(witness.cosign(asked.note, asked.origin, key, self._key.witness, name, now))

    def _keep(self, log: str, line: bytes) -> None:
        """Verify a line over the checkpoint that it is about, and keep it beside that."""
        found = notes.read_line(line)
        others = (peer.card.public for peer in self._peers.all().values())
        public = next((each for each in others if each.witness_name == found.name), None)
        if public is None:
            raise Problem(403, "expected a witness that this relay knows, got another", "its keeper must add the peer")
        view = self._folded.view
        key = view.log_key(log)
        if key is None:
            raise Problem(404, "no accepted record names this log", "sync the network's log first")
        for note in self._database.newest_notes(log):
            said, _ = checkpoint.parse(note)
            try:
                checkpoint.check_cosignature(found, said, public.witness)
            except SignatureError:
                continue
            self._database.cosign(log, Cosignature(found.name, said.size, line))
            return
        raise Problem(409, "expected a cosignature over a checkpoint that is here, got another", "cosign the newest")


def _log_of(view: View, name: str) -> str | None:
    """Which log has this name in its checkpoints."""
    for log in (view.net, *view.circles):
        key = view.log_key(log)
        if key is not None and origin(key, log) == name:
            return log
    return None
