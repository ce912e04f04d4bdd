"""What a relay answers, request by request: docs/spec/relay.md as code.

In: requests. Out: answers, or Problems. Each path says which limit it is under and who may ask.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from darklantern.logs import frames
from darklantern.logs.frames import Range
from darklantern.logs.stream import Frame, Kind
from darklantern.logs.witness import with_cosignatures
from darklantern.records.exact import encode
from darklantern.records.relay_wire import MOST_NAMES, MOST_RECORDS, Heads, Health, LogHead, Login, Names, Results
from darklantern.relay.appending import Appender
from darklantern.relay.exchange import FRAMES, Answer, Request, byte_range, said
from darklantern.relay.folded import Folded
from darklantern.relay.judging import Put
from darklantern.relay.limits import Bound, BoundEach, Rate
from darklantern.relay.logins import Logins
from darklantern.relay.pieces import MAX_BYTES, Pieces
from darklantern.relay.problems import Problem, malformed, unknown
from darklantern.relay.readers import Asker, may_read, readable
from darklantern.relay.stores import SMALL_BYTES, Database
from darklantern.relay.witnessing import Witnessing

_PAGE_BYTES: Final = 4 * 1024 * 1024
_MOST_FRAMES: Final = {Kind.ENTRY: MOST_RECORDS, Kind.BLOB: MOST_RECORDS}
"""in one request: 16 MiB of empty records would hold everybody up for seconds"""
_SMALL_BODY: Final = 4 * 1024
_NAMES_BODY: Final = MOST_NAMES * 67 + 64
_OPEN_TO_ALL: Final = {
    ("GET", "/v1/health"),
    ("GET", "/metrics"),  # which has a token of its own
    ("POST", "/v1/nonce"),
    ("POST", "/v1/token"),
}
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_NUMBERS: Final = re.compile(rb"start=(0|[1-9][0-9]{0,17})&stop=(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True)
class Bounds:
    """Limits that all requests share."""

    requests: Bound
    buffered: Bound
    each: BoundEach
    rate: Rate
    request_bytes: int


class Service:
    """Answers requests. Everything durable is behind the parts that it is given."""

    def __init__(
        self,
        *,
        database: Database,
        folded: Folded,
        logins: Logins,
        appender: Appender,
        pieces: Pieces,
        witnessing: Witnessing,
        bounds: Bounds,
        metrics: Callable[[str], Answer],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._folded = folded
        self._logins = logins
        self._appender = appender
        self._pieces = pieces
        self._witnessing = witnessing
        self._bounds = bounds
        self._metrics = metrics
        self._clock = clock

    async def answer(self, request: Request, holding: ExitStack) -> tuple[str, Answer]:
        """The route's pattern, and the answer. `holding` ends when the answer has gone out."""
        parts = request.path.split("/")[1:]
        open_to_all = (request.method, request.path) in _OPEN_TO_ALL
        asker = None if open_to_all else self._logins.known(request.bearer)
        if asker is None:
            # Whatever the header holds, it is one address that asks, until its token has been found good.
            address = holding.enter_context(ExitStack())
            address.enter_context(self._bounds.each.hold(f"address:{request.address}"))
            if open_to_all:
                return await self._of_anyone(request)
            asker = await self._logins.asker(request.token, request.address)
            address.close()
        self._bounds.rate.take(asker.id, self._clock())
        holding.enter_context(self._bounds.each.hold(asker.id))
        match request.method, parts:
            case "GET", ["v1", "heads"]:
                return "heads", await self._heads(asker)
            case "POST", ["v1", "witness", "add-checkpoint"]:
                return "add-checkpoint", await self._witnessing.answer(request)
            case method, ["v1", "logs", log, *rest]:
                await self._check_log(log, asker)
                return await self._of_log(method, log, rest, request, asker, holding)
        raise Problem(404, "expected a path of docs/spec/relay.md, got another", "is the URL the relay's own?")

    async def _of_anyone(self, request: Request) -> tuple[str, Answer]:
        match request.path:
            case "/v1/health":
                return "health", said(Health(ready=self._folded.ready), 200 if self._folded.ready else 503)
            case "/metrics":
                return "metrics", self._metrics(request.token)
            case "/v1/nonce":
                await request.body(0)
                return "nonce", said(await self._logins.challenge(request.address))
            case _:
                login = await request.value(Login, _SMALL_BODY)
                return "token", said(await self._logins.log_in(login, request.address))

    async def _of_log(
        self, method: str, log: str, rest: list[str], request: Request, asker: Asker, holding: ExitStack
    ) -> tuple[str, Answer]:
        match method, rest:
            case "GET", ["entries"]:
                return "entries", await self._entries(log, request)
            case "POST", ["records"]:
                return "records", await self._records(log, request, asker, holding)
            case "POST", ["missing"]:
                asked = await request.value(Names, _NAMES_BODY)
                lacking = await asyncio.to_thread(self._database.missing, log, asked.names)
                return "missing", said(Names(names=lacking))
            case "POST", ["cosignatures"]:
                return "cosignatures", await self._witnessing.take(log, request, asker)
            case "PUT", ["blobs", name]:
                return "put-blob", await self._put_blob(log, _name(name), request, asker, holding)
            case (("GET" | "HEAD"), ["blobs", name]):
                return "get-blob", await self._get_blob(log, _name(name), request)
        raise Problem(405, "expected a method and path of docs/spec/relay.md, got others", "is it spelt right?")

    async def _check_log(self, log: str, asker: Asker) -> None:
        if not _HASH.fullmatch(log):
            raise unknown("expected a log's id in the path, got another text")
        if not may_read(self._folded.view, log, asker):
            await self._folded.follow()  # another process may have appended the circle just now
        view = self._folded.view
        if not may_read(view, log, asker):
            known = log in view.network.circles
            raise Problem(
                403 if known else 404,
                "this circle does not admit you, or no longer does" if known else "no accepted record names this log",
                "sync the network's log, and see whom its circle names",
            )

    async def _heads(self, asker: Asker) -> Answer:
        notes = await asyncio.to_thread(self._database.notes)
        logs = readable(self._folded.view, notes, asker)
        return said(Heads(heads=tuple(LogHead(log=log, note=with_cosignatures(*notes[log])) for log in logs)))

    async def _entries(self, log: str, request: Request) -> Answer:
        found = _NUMBERS.fullmatch(request.query)
        if not found:
            raise malformed("expected ?start=N&stop=M")
        start, stop = int(found[1]), int(found[2])
        page = await asyncio.to_thread(self._database.entries, log, start, max(start, stop), _PAGE_BYTES)
        count = Frame(Kind.RANGE, encode(Range(log=log, start=start, count=len(page.entries))))
        body = frames.pack((count, *(Frame(Kind.ENTRY, entry.envelope) for entry in page.entries)))
        return Answer(body=body, content_type=FRAMES)

    async def _records(self, log: str, request: Request, asker: Asker, holding: ExitStack) -> Answer:
        most = self._bounds.request_bytes
        holding.enter_context(self._bounds.buffered.hold(request.length(most)))
        envelopes, blobs = _parted(await request.body(most))
        put = Put(log, envelopes, blobs, asker.account, asker.id)
        return said(Results(results=await self._appender.put(put)))

    async def _put_blob(self, log: str, name: str, request: Request, asker: Asker, holding: ExitStack) -> Answer:
        holding.enter_context(self._bounds.buffered.hold(request.length(MAX_BYTES)))
        parts = await request.parts(MAX_BYTES)
        await self._pieces.put(log, name, parts, asker.account, asker.id)
        return Answer(204)

    async def _get_blob(self, log: str, name: str, request: Request) -> Answer:
        piece = await self._pieces.find(log, name)
        if piece is None:
            raise unknown(f"this log has no blob {name[:8]}…")
        part = byte_range(request, piece.size)
        start, stop = part or (0, piece.size)
        headers = [(b"accept-ranges", b"bytes"), (b"etag", b'"%b"' % name.encode())]
        if part:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (start, stop - 1, piece.size)))
        return Answer(
            206 if part else 200,
            content_type=FRAMES,
            headers=tuple(headers),
            stream=self._pieces.read(name, piece, start, stop),
            length=stop - start,
            head_only=request.method == "HEAD",
        )


def _name(text: str) -> str:
    if not _HASH.fullmatch(text):
        raise unknown("expected the BLAKE3 of a blob in the path, got another text")
    return text


def _parted(body: bytes) -> tuple[tuple[bytes, ...], dict[str, bytes]]:
    """Envelopes, and small blobs by name. Raises Problem 400 and 413, LogError."""
    envelopes: list[bytes] = []
    blobs: dict[str, bytes] = {}
    for kind, payload in frames.unpack(body, _MOST_FRAMES):
        if kind == Kind.ENTRY and not blobs:
            envelopes.append(payload)
        elif kind == Kind.BLOB:
            if len(payload) > SMALL_BYTES:
                raise Problem(
                    413,
                    f"expected blobs of at most {SMALL_BYTES} bytes beside records, got {len(payload)}",
                    "put larger ones by themselves, before the record that names them",
                )
            blobs[blake3(payload).hexdigest()] = payload
        else:
            raise malformed(f"expected entries and then blobs, got a {kind.name} frame")
    if not envelopes:
        raise malformed("expected at least one entry")
    return tuple(envelopes), blobs
