"""Blobs of a log: putting them, getting them, and letting go of them.

In: a log, a name, bytes. Out: the bytes again, for who may read that log. Small blobs lie in the database, larger
ones in the store of blobs; which log has which is said in the database either way.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from darklantern.errors import StoreError
from darklantern.network.items import PIECE
from darklantern.relay.charging import Quotas
from darklantern.relay.stores import SMALL_BYTES, Blobs, Charge, Database
from darklantern.relay.stores.blobs import checked
from darklantern.relay.stores.values import Piece

MAX_BYTES: Final = PIECE
_UPLOAD_S: Final = 3600
"""longer than any store takes for one blob: an upload that has not ended by then was cut off with its relay"""
_END: Final = b""


class Pieces:
    """What logs have of blobs."""

    def __init__(self, database: Database, blobs: Blobs, quotas: Quotas, clock: Callable[[], float]) -> None:
        self._database = database
        self._blobs = blobs
        self._quotas = quotas
        self._clock = clock

    async def put(self, log: str, name: str, parts: Sequence[bytes], account: str, device: str) -> None:
        """Store a blob that a device brought, in as many parts as it came. Raises OtherBytesError for other bytes than
        its name says, QuotaError, StoreError."""
        await asyncio.to_thread(self.put_now, log, name, parts, account, device)

    def put_now(self, log: str, name: str, parts: Sequence[bytes], account: str, device: str | None = None) -> None:
        """The same, for a thread; of no device's day where none has sent it."""
        size = sum(map(len, parts))
        day = (self._quotas.sent(device, size),) if device else ()
        self._keep(log, name, parts, size, self._quotas.kept(account, size), *day)

    def mirror(self, log: str, name: str, data: bytes, peer: str) -> None:
        """Store a blob for which this relay has asked a peer, for a thread. Raises as `put` does."""
        self._keep(log, name, (data,), len(data), self._quotas.mirrored(peer, len(data)))

    def _keep(self, log: str, name: str, parts: Sequence[bytes], size: int, charge: Charge, *day: Charge) -> None:
        now = int(self._clock())
        if size <= SMALL_BYTES:
            data = b"".join(checked(name, parts, SMALL_BYTES))
            self._database.put_piece(log, name, data, charge, now, *day)
            return
        upload = secrets.token_hex(16)
        if not self._database.begin_piece(upload, log, name, charge, now, *day):
            return
        try:
            self._blobs.put(name, parts, MAX_BYTES)  # which hashes them
            self._database.finish_piece(upload, now)
        except BaseException:
            self._database.cancel_piece(upload, name)
            raise

    async def find(self, log: str, name: str) -> Piece | None:
        """The blob, if that log has it."""
        return await asyncio.to_thread(self._database.piece, log, name)

    async def read(self, name: str, piece: Piece, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `stop`. Raises StoreError."""
        if piece.data is not None:
            yield piece.data[start:stop]
            return
        chunks = await asyncio.to_thread(self._blobs.read, name, start, stop)
        left = stop - start
        while left:
            part = await asyncio.to_thread(next, chunks, _END)
            if not part:
                raise StoreError(f"the blob {name} became shorter while it was read", hint="check the disk")
            left -= len(part)
            yield part

    def expire(self, unnamed_s: int) -> int:
        """Let go of what no record has needed for so long, and of what uploads left behind; how many."""
        now = int(self._clock())
        count = self._database.expire_pieces(now - unnamed_s) + self._database.expire_uploads(now - _UPLOAD_S)
        self.collect()
        return count + self._blobs.sweep(unnamed_s)

    def collect(self) -> int:
        """Delete bytes that no log has any more; how many."""
        return self._database.collect(self._blobs.delete)
