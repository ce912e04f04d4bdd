"""Asking another relay, as a client with this relay's auth key.

In: a peer's card and our keys. Out: heads, entries, blobs; and cosignatures go there. What comes back is bounded, in
bytes and in time, and not believed: the caller verifies it. Blocking: call it in a thread.
"""

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import urlsplit

from darklantern.deadlines import cut, within
from darklantern.errors import LogError, StoreError
from darklantern.logs import frames
from darklantern.logs.frames import Range
from darklantern.logs.stream import Kind
from darklantern.network.items import PIECE
from darklantern.records.exact import Value, decode, encode
from darklantern.records.relay_wire import Challenge, Grant, Heads, Login, Names
from darklantern.sealing import RelayCard, RelayKey
from darklantern.sealing.login import login_message

_TIMEOUT_S: Final = 30
"""from a request to the end of its answer's headers; and the grace of a body"""
BYTES_A_SECOND: Final = 32 * 1024
"""what a body must at least move, once the grace is over"""
_MAX_JSON: Final = 64 * 1024 * 1024
_MAX_PAGE: Final = 16 * 1024 * 1024
V = TypeVar("V", bound=Value)


class PeerError(StoreError):
    """A peer that cannot be reached, or answers something else than was asked."""


class PeerClient:
    """One connection to a peer, opened when it is needed. Not for two threads at once."""

    def __init__(self, card: RelayCard, key: RelayKey, net: str, clock: Callable[[], float] = time.time) -> None:
        self._card = card
        self._key = key
        self._net = net
        self._clock = clock
        self._connection: http.client.HTTPConnection | None = None
        self._token: Grant | None = None
        self._ended = False

    def heads(self) -> dict[str, bytes]:
        """Log → newest note."""
        return {head.log: head.note for head in self._json(Heads, "GET", "/v1/heads").heads}

    def entries(self, log: str, start: int, stop: int) -> list[bytes]:
        """The envelopes from `start` up to `stop`, of which at least one comes. Raises PeerError, LogError."""
        body = self._asked("GET", f"/v1/logs/{log}/entries?start={start}&stop={stop}", most=_MAX_PAGE)
        first, *rest = frames.unpack(body)
        said = decode(Range, first.payload) if first.kind == Kind.RANGE else None
        if said is None or (said.log, said.start) != (log, start) or not 0 < len(rest) == said.count <= stop - start:
            raise LogError("expected the range of entries that was asked for, got another", hint="is the peer sound?")
        if any(kind != Kind.ENTRY for kind, _ in rest):
            raise LogError("expected entries, got other frames", hint="is the peer sound?")
        return [payload for _, payload in rest]

    def missing(self, log: str, names: tuple[str, ...]) -> frozenset[str]:
        """Those of `names` that the peer lacks."""
        body = self._asked("POST", f"/v1/logs/{log}/missing", encode(Names(names=names)), most=_MAX_PAGE)
        return frozenset(decode(Names, body).names)

    def blob(self, log: str, name: str) -> bytes | None:
        """A blob, not verified; None where the peer does not have it."""
        status, body = self._exchange("GET", f"/v1/logs/{log}/blobs/{name}", None, self._bearer(), PIECE)
        if status == 404:
            return None
        return self._checked(status, body)

    def send_cosignature(self, log: str, line: bytes) -> None:
        """Hand our cosignature to the log's appender."""
        self._asked("POST", f"/v1/logs/{log}/cosignatures", line, most=4096)

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def end(self) -> None:
        """From another thread: break off what is being asked, and ask nothing more."""
        self._ended = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            cut(connection.sock)

    def _json(self, kind: type[V], method: str, path: str) -> V:
        return decode(kind, self._asked(method, path, most=_MAX_JSON))

    def _asked(self, method: str, path: str, body: bytes | None = None, most: int = 0) -> bytes:
        return self._checked(*self._exchange(method, path, body, self._bearer(), most))

    def _bearer(self) -> Mapping[str, str]:
        if self._token is None or self._token.expires <= self._clock() + _TIMEOUT_S:
            self._token = self._log_in()
        return {"Authorization": f"Bearer {self._token.token}"}

    def _log_in(self) -> Grant:
        relay, me = self._card.public.id, self._key.public.id
        challenge = decode(Challenge, self._checked(*self._exchange("POST", "/v1/nonce", b"", {}, 4096)))
        if challenge.relay != relay:
            raise PeerError("expected the relay of the card, got another", hint="ask its keeper for a new card")
        message = login_message(self._net, relay, challenge.nonce, me, challenge.expires)
        login = Login(
            device=me, nonce=challenge.nonce, expires=challenge.expires, signature=self._key.sign_login(message)
        )
        return decode(Grant, self._checked(*self._exchange("POST", "/v1/token", encode(login), {}, 4096)))

    def _checked(self, status: int, body: bytes) -> bytes:
        if status == 401:
            self._token = None
        if not 200 <= status < 300:
            raise PeerError(f"the peer answered {status}", hint="its own log says why; is this relay among its peers?")
        return body

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], most: int
    ) -> tuple[int, bytes]:
        for fresh in (self._connection is None, True):
            if self._ended:
                raise PeerError("the relay stops", hint="it asks again when it starts")
            connection = self._connection = self._connection or self._connect()
            try:
                connection.request(method, path, body, dict(headers))
                return _answer(connection, most)
            except (OSError, http.client.HTTPException, ValueError) as error:  # the last: a length that is no number
                self.close()
                if fresh:  # else the peer may have closed a connection that was idle: once more on a new one
                    raise PeerError(f"cannot ask the peer: {type(error).__name__}", hint="is it up?") from error
            except PeerError:
                self.close()
                raise
        raise AssertionError("the loop ends in a return or a raise")

    def _connect(self) -> http.client.HTTPConnection:
        errors: list[Exception] = []
        for url in self._card.urls:
            try:
                return connect(url, self._card.certificate)
            except (OSError, StoreError) as error:
                errors.append(error)
        raise PeerError("none of the peer's URLs answers", hint="is it up, and its card the newest?") from (
            errors[-1] if errors else None
        )


def _answer(connection: http.client.HTTPConnection, most: int) -> tuple[int, bytes]:
    """Status and body of the answer that is due. Raises PeerError, OSError, HTTPException, ValueError."""
    wire = connection.sock
    with within(wire, _TIMEOUT_S):
        response = connection.getresponse()
    length = 0 if response.status == 204 else response.length
    if response.chunked or length is None:
        raise http.client.HTTPException("an answer that does not say how long it is")
    if length > most:
        raise PeerError(f"expected at most {most} bytes of the peer, got {length}", hint="is the peer sound?")
    with within(wire, _TIMEOUT_S + length / BYTES_A_SECOND):
        data = response.read(length)
    if len(data) < length:
        raise http.client.IncompleteRead(data, length - len(data))
    return response.status, data


def connect(url: str, certificate: bytes | None) -> http.client.HTTPConnection:
    """A connection to a relay that has shown exactly `certificate`. Raises StoreError, OSError.

    Without a certificate: only to a loopback address, or an onion service, whose name is its key. It never connects
    anew by itself, which would ask for no certificate: once closed, it is of no more use.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme != "https":
        if host not in ("127.0.0.1", "::1", "localhost") and not host.endswith(".onion"):
            raise PeerError("expected https for an address beyond this machine, got http", hint="pin its certificate")
        return _over(socket.create_connection((host, port), _TIMEOUT_S), host, port)
    if certificate is None:
        raise PeerError("expected the certificate that the relay shows, got none", hint="ask for its card again")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # no authority is asked: it is this very certificate or none
    secure = context.wrap_socket(socket.create_connection((host, port), _TIMEOUT_S), do_handshake_on_connect=False)
    try:
        with within(secure, _TIMEOUT_S):
            secure.do_handshake()
    except BaseException:
        secure.close()
        raise
    if secure.getpeercert(binary_form=True) != certificate:
        secure.close()
        raise PeerError("expected the certificate of the relay's card, got another", hint="somebody may sit between")
    return _over(secure, host, port)


def _over(wire: socket.socket, host: str, port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    connection.auto_open = 0
    connection.sock = wire
    return connection
