"""A relay over HTTP: the wire of docs/spec/relay.md from the library's side.

In: what a sync asks. Out: what the relay answers, within limits, and not believed: whoever asked verifies it.
"""

import http.client
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from darklantern.errors import LogError, RelayError
from darklantern.library.syncing.connecting import Connections, read, refused
from darklantern.library.syncing.remote import Posted, Sink
from darklantern.logs import frames
from darklantern.logs.frames import Range
from darklantern.logs.stream import Frame, Kind
from darklantern.network.items import PIECE
from darklantern.network.reading import leaf_id
from darklantern.records.exact import Value, decode, encode
from darklantern.records.relay_wire import MOST_NAMES, Heads, Names, Results
from darklantern.sealing import Device, LogVerifyKey, RelayCard

CONNECTIONS: Final = 4
_STEP: Final = 512 * 1024
"""bytes of a piece that are read, hashed and written at once"""
_MAX_JSON: Final = 64 * 1024 * 1024
_MAX_PAGE: Final = 16 * 1024 * 1024
V = TypeVar("V", bound=Value)


class HttpRemote:
    """Implements `Remote`. Use it in a `with` statement, or close it."""

    def __init__(
        self,
        card: RelayCard,
        net: str,
        device: Device,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connections = Connections(card, net, device, clock, sleep)
        self._card = card

    def __enter__(self) -> "HttpRemote":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The first of its addresses."""
        return self._card.urls[0]

    @property
    def log_key(self) -> LogVerifyKey | None:
        """The key on its card."""
        return self._card.public.log

    @property
    def connections(self) -> int:
        """At once."""
        return CONNECTIONS

    def heads(self) -> Mapping[str, bytes]:
        """Log → its newest signed note."""
        return {head.log: head.note for head in self._value(Heads, "GET", "/v1/heads").heads}

    def entries(self, log: str, start: int, stop: int) -> Sequence[bytes]:
        """One page of envelopes from `start` on. Raises RelayError and LogError."""
        body = self._body("GET", f"/v1/logs/{log}/entries?start={start}&stop={stop}", most=_MAX_PAGE)
        first, *rest = frames.unpack(body) or (Frame(Kind.BLOB, b""),)
        said = decode(Range, first.payload) if first.kind == Kind.RANGE else None
        if said is None or (said.log, said.start, said.count) != (log, start, len(rest)):
            raise self._other(f"entries of log {log[:8]}… from {start} on")
        if any(kind != Kind.ENTRY for kind, _ in rest):
            raise self._other("entries alone")
        return [payload for _, payload in rest]

    def missing(self, log: str, names: Collection[str]) -> frozenset[str]:
        """Which of the named pieces the relay lacks for this log."""
        asked, lacking = sorted(names), set[str]()
        for at in range(0, len(asked), MOST_NAMES):
            body = encode(Names(names=tuple(asked[at : at + MOST_NAMES])))
            lacking.update(self._value(Names, "POST", f"/v1/logs/{log}/missing", body).names)
        return frozenset(lacking & set(asked))

    def get(self, log: str, name: str, start: int, sink: Sink) -> bool:
        """The bytes of a piece from `start` on, given to `sink` as they come; False when the relay lacks it."""
        asked = {"Range": f"bytes={start}-"} if start else {}
        with self._connections.answer("GET", f"/v1/logs/{log}/blobs/{name}", headers=asked) as response:
            if response.status == (206 if start else 200):
                self._give(response, start, sink)
                return True
            told = response.read(_STEP)
        if response.status not in (404, 416):
            raise refused(self._card, response.status, told)
        return response.status == 416  # all of it had come, and was not finished

    def put(self, log: str, name: str, data: bytes) -> None:
        """Store a piece."""
        self._body("PUT", f"/v1/logs/{log}/blobs/{name}", data)

    def post(self, log: str, records: Sequence[bytes], pieces: Iterable[bytes]) -> tuple[Posted, ...]:
        """Ask that records be appended. A relay that does not append this log refuses all of them."""
        parts = [*(Frame(Kind.ENTRY, data) for data in records), *(Frame(Kind.BLOB, piece) for piece in pieces)]
        with self._connections.answer("POST", f"/v1/logs/{log}/records", frames.pack(parts)) as response:
            body = read(response, _MAX_PAGE)
        if response.status == 409:
            reason = refused(self._card, response.status, body).message
            return tuple(Posted(leaf_id(data), None, reason) for data in records)
        if response.status != 200:
            raise refused(self._card, response.status, body)
        return tuple(Posted(each.id, each.position, each.refused) for each in decode(Results, body).results)

    def close(self) -> None:
        """Let go of its connections."""
        self._connections.close()

    def _give(self, response: http.client.HTTPResponse, start: int, sink: Sink) -> None:
        length = response.length
        if length is None or start + length > PIECE:
            raise self._other(f"a piece of at most {PIECE} bytes")
        buffer = memoryview(bytearray(min(_STEP, length)))
        while length:
            got = response.readinto(buffer)
            if not got:
                raise RelayError(
                    f"{self.name} broke off {length} bytes before the end of a piece",
                    hint="sync again: it goes on where this broke off",
                )
            sink(buffer[:got])
            length -= got

    def _value(self, kind: type[V], method: str, path: str, body: bytes | None = None) -> V:
        return decode(kind, self._body(method, path, body, _MAX_JSON))

    def _body(self, method: str, path: str, body: bytes | None = None, most: int = _MAX_PAGE) -> bytes:
        with self._connections.answer(method, path, body) as response:
            data = read(response, most)
        if not 200 <= response.status < 300:
            raise refused(self._card, response.status, data)
        return data

    def _other(self, expected: str) -> LogError:
        return LogError(
            f"expected {expected} from {self.name}, got something else",
            hint="it is no relay of this network, or is not sound; try another one",
        )
