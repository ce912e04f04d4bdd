"""Connections to a relay that has shown exactly the certificate of its card, and login by the device's auth key.

In: a card, a device, requests. Out: responses, or RelayError. Plain HTTP goes to a loopback address or an onion
service only, whose name is its key. No authority is asked who a relay is.
"""

import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from darklantern.deadlines import within
from darklantern.errors import DarkLanternError, NotAdmittedError, RelayError
from darklantern.records.exact import decode, encode
from darklantern.records.relay_wire import Challenge, Grant, Login, Problem
from darklantern.sealing import Device, RelayCard
from darklantern.sealing.login import login_message

CONNECT_S: Final = 10
ANSWER_S: Final = 60
"""from a request to the end of its answer's headers, and the grace of a body"""
SLOWEST: Final = 16 * 1024
"""bytes a second that an answer must bring at least, once the grace is over"""
RECEIVE_BYTES: Final = 256 * 1024
"""What the system holds of an answer before it is read is fetched again after a crash: left to itself, megabytes."""
_LOGIN_BYTES: Final = 4096
_PROBLEM_BYTES: Final = 64 * 1024
_SPARE_S: Final = 20
"""before it ends, a token is renewed"""
_TRIES: Final = 4
_LONGEST_WAIT_S: Final = 30
_PATIENCE_S: Final = 180
"""how long all waiting for a relay that says it is busy may come to"""
_BUSY: Final = (429, 503)
_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME. Whose clock is wrong would be told that somebody sits between."""
_WORDS: Final = 300
_NOT_LISTED: Final = (
    "its log of the network does not list this device: not yet, or no longer, where your org has revoked it or taken "
    "you out; a colleague's bundle (`darklantern bundle import`) brings the record, and `darklantern status` then says"
)


class Connections:
    """A few connections to one relay, each for one request at a time, and the token for all of them."""

    def __init__(
        self,
        card: RelayCard,
        net: str,
        device: Device,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.card = card
        self._net, self._device, self._clock, self._sleep = net, device, clock, sleep
        self._idle: list[http.client.HTTPConnection] = []
        self._token: Grant | None = None
        self._lock, self._login = threading.Lock(), threading.Lock()
        self._patience: float = _PATIENCE_S

    @contextmanager
    def answer(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer to one request, whatever its status but 401, 429 and 503. Read it to its end. Raises RelayError.

        A relay that is busy is asked again after as long as it says; a token that has ended is renewed.
        """
        for attempt in range(_TRIES):
            token = self._bearer()
            with self._sent(method, path, body, {**(headers or {}), "Authorization": f"Bearer {token}"}) as response:
                again = response.status == 401 or (response.status in _BUSY and self._patience > 0)
                if not again or attempt == _TRIES - 1:
                    yield response
                    return
                wait = _seconds(response.headers.get("Retry-After")) if response.status in _BUSY else 0
                response.read(_PROBLEM_BYTES)
            if response.status == 401:
                self._forget(token)
            else:
                self._wait(wait)

    def close(self) -> None:
        """Let go of all connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _sent(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        connection, wire, response = self._asked(method, path, body, headers)
        try:
            with within(wire, ANSWER_S + (response.length or 0) / SLOWEST):
                yield response
        except (OSError, http.client.HTTPException, ValueError) as error:  # the last: lengths that are no numbers
            connection.close()
            raise self._broken(error) from error
        except BaseException:
            connection.close()
            raise
        if response.isclosed() and connection.sock:
            with self._lock:
                self._idle.append(connection)
        else:  # what was not read would be taken for the next answer
            connection.close()

    def _asked(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, socket.socket, http.client.HTTPResponse]:
        """A request sent; on an idle connection, which the relay may have closed, once more on a new one."""
        while True:
            with self._lock:
                idle = self._idle.pop() if self._idle else None
            connection = idle or self._connected()
            wire = connection.sock
            try:
                with within(wire, ANSWER_S + len(body or b"") / SLOWEST):
                    connection.request(method, path, body, dict(headers))
                    return connection, wire, _sized(connection.getresponse())
            except (OSError, http.client.HTTPException, ValueError) as error:
                connection.close()
                if idle is None:
                    raise self._broken(error) from error

    def _connected(self) -> http.client.HTTPConnection:
        errors: list[Exception] = []
        for url in self.card.urls:
            try:
                return connected(url, self.card.certificate)
            except (OSError, RelayError) as error:
                errors.append(error)
        for wrong in errors:
            if isinstance(wrong, RelayError):  # rather than what is merely out of reach
                raise wrong
        where = " or ".join(self.card.urls) or "no address"
        raise RelayError(
            f"the relay at {where} does not answer{f': {errors[-1]}' if errors else ''}",
            hint="is it up, is this machine's network, and is its card the newest? what waits stays in the outbox",
        ) from (errors[-1] if errors else None)

    def _wait(self, seconds: float) -> None:
        with self._lock:
            self._patience -= seconds
        self._sleep(seconds)

    def _bearer(self) -> str:
        with self._login:
            if self._token is None or self._token.expires <= self._clock() + _SPARE_S:
                self._token = self._log_in()
            return self._token.token

    def _forget(self, token: str) -> None:
        with self._login:
            if self._token and self._token.token == token:
                self._token = None

    def _log_in(self) -> Grant:
        challenge = decode(Challenge, self._told("POST", "/v1/nonce", b""))
        relay, me = self.card.public.id, self._device.public.id
        if challenge.relay != relay:
            raise RelayError(
                f"expected relay {relay[:8]}… of the card, got {challenge.relay[:8]}…",
                hint="ask its keeper for a new card, and compare the fingerprint with them",
            )
        message = login_message(self._net, relay, challenge.nonce, me, challenge.expires)
        signature = self._device.sign_login(message)
        login = Login(device=me, nonce=challenge.nonce, expires=challenge.expires, signature=signature)
        return decode(Grant, self._told("POST", "/v1/token", encode(login)))

    def _told(self, method: str, path: str, body: bytes) -> bytes:
        for attempt in range(_TRIES):
            with self._sent(method, path, body, {}) as response:
                data = read(response, _LOGIN_BYTES)
            if response.status not in _BUSY or attempt == _TRIES - 1 or self._patience <= 0:
                break
            self._wait(_seconds(response.headers.get("Retry-After")))
        if response.status != 200:
            raise refused(self.card, response.status, data)
        return data

    def _broken(self, error: Exception) -> RelayError:
        return RelayError(
            f"the connection to {self.card.urls[0]} broke: {error or type(error).__name__}",
            hint="sync again: it goes on where this broke off",
        )


def connected(url: str, certificate: bytes | None) -> http.client.HTTPConnection:
    """A connection to `url`, whose server has shown exactly `certificate`. Raises RelayError and OSError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise RelayError(
            f"expected an address, got {url!r}: {error}", hint="ask the relay's keeper for its card"
        ) from error
    if parts.scheme == "http":
        if host not in ("127.0.0.1", "::1", "localhost") and not host.endswith(".onion"):
            raise RelayError(
                f"expected https for an address beyond this machine, got {url}",
                hint="plain HTTP is for loopback and onion services; ask the relay's keeper for a card with TLS",
            )
        return _over(_reached(host, port or 80), host)
    if parts.scheme != "https" or certificate is None:
        raise RelayError(
            f"expected an https address and the certificate that it shows, got {url} and "
            f"{'one' if certificate else 'none'}",
            hint="ask the relay's keeper for its card again",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the card says which key it is; a name says less
    context.load_verify_locations(cadata=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags |= _NO_CHECK_TIME
    wire = context.wrap_socket(_reached(host, port or 443), server_hostname=host, do_handshake_on_connect=False)
    try:
        with within(wire, CONNECT_S):
            wire.do_handshake()
        shown = wire.getpeercert(binary_form=True)
    except ssl.SSLCertVerificationError as error:
        wire.close()
        raise _other_certificate(url) from error
    except OSError:
        wire.close()
        raise
    if shown != certificate:
        wire.close()
        raise _other_certificate(url)
    return _over(wire, host)


def _over(wire: socket.socket, host: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(host)
    connection.sock = wire
    connection.auto_open = 0  # by itself it would open another, in the clear
    return connection


def _reached(host: str, port: int) -> socket.socket:
    wire = socket.create_connection((host, port), CONNECT_S)
    wire.settimeout(ANSWER_S)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return wire


def _sized(response: http.client.HTTPResponse) -> http.client.HTTPResponse:
    """The answer, if it says its length: one in chunks could hide how long it is. Raises HTTPException."""
    if response.chunked or (response.length is None and response.status != 204):
        raise http.client.HTTPException("an answer that does not say how long it is")
    return response


def read(response: http.client.HTTPResponse, most: int) -> bytes:
    """A body of at most `most` bytes, whole. Raises RelayError for more."""
    data = response.read(most + 1)
    if len(data) > most:
        raise RelayError(f"expected at most {most} bytes of the relay, got more", hint="is it a relay at all?")
    return data


def refused(card: RelayCard, status: int, body: bytes) -> RelayError:
    """What a relay's refusal is here: its own words, which are data."""
    try:
        told = decode(Problem, body)
        message, hint = told.error[:_WORDS], told.hint[:_WORDS]
    except DarkLanternError:
        message, hint = "it gave no reason", "its keeper can see why"
    if status == 401:  # the nonce and the signature were made by what is here, for this relay, a moment ago
        hint = _NOT_LISTED
    kind = NotAdmittedError if status == 403 else RelayError
    return kind(f"{card.urls[0]} answered {status}: {message}", hint=hint)


def _seconds(text: str | None) -> float:
    return float(min(int(text), _LONGEST_WAIT_S)) if text and re.fullmatch("[0-9]{1,8}", text) else 1.0


def _other_certificate(url: str) -> RelayError:
    return RelayError(
        f"{url} shows another certificate than the relay's card names",
        hint="somebody may sit between, or its keeper renewed it: ask them for a new card. Nothing was sent",
    )
