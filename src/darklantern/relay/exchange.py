"""One HTTP request and its answer, over ASGI: small, bounded, and patient for so long only.

In: ASGI's scope and messages. Out: the same. A body is read after its length is known to fit, and an answer is
written as fast as it is read, or broken off.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from darklantern.records.exact import Value, decode, encode
from darklantern.records.relay_wire import Problem as Told
from darklantern.relay.problems import Problem, malformed

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
V = TypeVar("V", bound=Value)

JSON: Final = b"application/json"
FRAMES: Final = b"application/octet-stream"
_AT_ONCE: Final = 16 * 1024
_PART: Final = 4 * 1024
"""Bytes of a body: what comes in smaller pieces is joined, since each costs forty beside its own."""


class DisconnectedError(Exception):
    """The client went away, or reads too slowly: there is nobody to answer."""


@dataclass(frozen=True)
class Pace:
    """What a body or an answer must at least move."""

    grace_s: float
    bytes_a_second: float

    def seconds(self, size: int) -> float:
        """How long so many bytes may take."""
        return self.grace_s + size / self.bytes_a_second


class Request:
    """What was asked. Its body has not been read."""

    def __init__(self, scope: Scope, receive: Receive, pace: Pace) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.address: str = (scope.get("client") or ("unknown", 0))[0]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._pace = pace

    @property
    def bearer(self) -> str:
        """The bearer token, good or not; empty where there is none."""
        scheme, _, token = self.headers.get(b"authorization", b"").partition(b" ")
        return token.decode("latin-1") if scheme.lower() == b"bearer" else ""

    @property
    def token(self) -> str:
        """The same. Raises Problem 401 where there is none."""
        if not self.bearer:
            raise Problem(401, "expected a bearer token, got none", "log in: POST /v1/nonce, then /v1/token")
        return self.bearer

    def length(self, most: int) -> int:
        """The body's length, as announced. Raises Problem 411 and 413."""
        text = self.headers.get(b"content-length", b"")
        if not text.isdigit() or len(text) > 18:
            raise Problem(411, "expected the body's Content-Length, got none", "send it whole, not in chunks")
        if int(text) > most:
            raise Problem(413, f"expected at most {most} bytes, got {int(text)}", "send it in several requests")
        return int(text)

    async def body(self, most: int) -> bytes:
        """The whole body. Raises Problem 408 when it comes too slowly."""
        return b"".join(await self.parts(most))

    async def parts(self, most: int) -> list[bytes]:
        """The same in parts: for a blob, which is only hashed and written, a copy less."""
        length = self.length(most)
        parts, small, have = list[bytes](), bytearray(), 0
        try:
            async with asyncio.timeout(self._pace.seconds(length)):
                more = True
                while more:
                    message = await self._receive()
                    if message["type"] != "http.request":
                        raise DisconnectedError
                    part = message.get("body", b"")
                    have += len(part)
                    more = message.get("more_body", False)
                    if have > length:
                        raise malformed("the body is longer than its Content-Length")
                    if not small and len(part) >= _PART:
                        parts.append(part)
                        continue
                    small += part
                    if len(small) >= _PART:
                        parts.append(bytes(small))
                        small.clear()
        except TimeoutError:
            raise Problem(408, "the body came too slowly", "try again on a better line") from None
        if have != length:
            raise malformed("the body is shorter than its Content-Length")
        return [*parts, bytes(small)] if small else parts

    async def value(self, kind: type[V], most: int) -> V:
        """The body as exact JSON."""
        return decode(kind, await self.body(most))


@dataclass(frozen=True)
class Answer:
    """What to say. `stream` comes after `body`, and is `length` bytes in all with it."""

    status: int = 200
    body: bytes = b""
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stream: AsyncIterator[bytes] | None = None
    length: int | None = None
    head_only: bool = False

    async def send(self, send: Send, pace: Pace) -> None:
        """Write it. Raises DisconnectedError for a reader who is too slow or gone."""
        length = len(self.body) if self.length is None else self.length
        headers = [(b"content-length", b"%d" % length), (b"cache-control", b"no-store"), *self.headers]
        if length or self.head_only:
            headers.append((b"content-type", self.content_type))
        start = {"type": "http.response.start", "status": self.status, "headers": headers}
        if length <= _AT_ONCE:  # the socket takes it, whether it is read or not
            await self._write(send, start)
            return
        try:
            async with asyncio.timeout(pace.seconds(length)):
                await self._write(send, start)
        except (TimeoutError, OSError) as error:
            raise DisconnectedError from error

    async def _write(self, send: Send, start: Message) -> None:
        await send(start)
        if self.stream is not None and not self.head_only:
            async for chunk in self.stream:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if self.head_only else self.body})


def said(value: Value, status: int = 200) -> Answer:
    """A value of our own as JSON: made of what is valid, so it is not read back before it goes out."""
    return Answer(status, msgspec.json.encode(value, order="deterministic"))


def refusal(error: Problem) -> Answer:
    """A problem as JSON, with Retry-After where it helps."""
    after = ((b"retry-after", b"%d" % error.retry_after),) if error.retry_after else ()
    return Answer(error.status, encode(Told(error=error.message, hint=error.hint)), headers=after)


def byte_range(request: Request, size: int) -> tuple[int, int] | None:
    """What the Range header asks for: from, to. None for all. Raises Problem 416.

    One range only. RFC 9110 lets a server ignore the others, and a hundred overlapping ones cost a hundred readings.
    """
    text = request.headers.get(b"range")
    if text is None or not text.startswith(b"bytes=") or b"," in text:
        return None
    first, dash, last = text.removeprefix(b"bytes=").strip().partition(b"-")
    if not dash or not (first + last).isdigit() or len(first) > 18 or len(last) > 18:
        return None
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1 if last else size)
    if not start < stop:
        raise Problem(416, f"expected a range within {size} bytes", "ask for the size with HEAD")
    return start, stop
