"""What a relay may answer a library: HTTP as it stands on the wire, read by the library's own client, without a socket.

In: a line that says what was asked, and then all that the relay sends. Out: nothing, or RelayError and its like.
"""

import http.client
import io
from collections.abc import Callable
from functools import cache

from network.world import device
from relay.running import relay_key

from darklantern.errors import RelayError
from darklantern.library.syncing.connecting import Connections
from darklantern.library.syncing.http import HttpRemote
from darklantern.logs import frames
from darklantern.logs.frames import Range
from darklantern.logs.stream import Frame, Kind
from darklantern.records.exact import encode
from darklantern.records.relay_wire import Heads, LogHead, Names, RecordResult, Results
from darklantern.sealing import RelayCard
from fuzz import seeds

LOG, NAME = "0" * 64, "1" * 64


class Line:
    """A socket whose other end has said all that it will say."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def sendall(self, data: bytes) -> None:
        """Nobody listens."""

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._said)

    def close(self) -> None:
        """Nothing is held."""


class Fed(Connections):
    """Connections whose answers are given, with a token already."""

    said = b""

    def _bearer(self) -> str:
        return "token"

    def _connected(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1")
        connection.sock = Line(self.said)
        return connection


@cache
def _remote() -> tuple[HttpRemote, Fed]:
    card = RelayCard(public=relay_key("keeper").public, urls=("http://127.0.0.1:1",), certificate=None)
    remote = HttpRemote(card, LOG, device("ada"), sleep=lambda seconds: None)
    fed = Fed(card, LOG, device("ada"), sleep=lambda seconds: None)
    remote._connections = fed  # the one thing that is not the product's
    return remote, fed


ASKED: dict[bytes, Callable[[HttpRemote], object]] = {
    b"heads": lambda remote: remote.heads(),
    b"entries": lambda remote: remote.entries(LOG, 0, 3),
    b"missing": lambda remote: remote.missing(LOG, [NAME]),
    b"get": lambda remote: remote.get(LOG, NAME, 0, lambda data: None),
    b"more": lambda remote: remote.get(LOG, NAME, 4, lambda data: None),
    b"put": lambda remote: remote.put(LOG, NAME, b"piece"),
    b"post": lambda remote: remote.post(LOG, seeds.entries()[:1], []),
}


def heard(data: bytes) -> None:
    """Raises RelayError, LogError, RecordError or RefusedError."""
    asked, _, said = data.partition(b"\n")
    ask = ASKED.get(asked)
    if ask is None:
        raise RelayError("expected what was asked first", hint="see ASKED")
    remote, fed = _remote()
    fed.said = said
    try:
        ask(remote)
    finally:
        fed.close()


def answers() -> tuple[bytes, ...]:
    """One sound answer to each question."""
    entry = seeds.entries()[0]
    page = frames.pack((Frame(Kind.RANGE, encode(Range(log=LOG, start=0, count=1))), Frame(Kind.ENTRY, entry)))
    bodies = {
        b"heads": (200, encode(Heads(heads=(LogHead(log=LOG, note=seeds.notes()[0]),)))),
        b"entries": (200, page),
        b"missing": (200, encode(Names(names=(NAME,)))),
        b"get": (200, b"a piece"),
        b"more": (206, b"iece"),
        b"put": (204, b""),
        b"post": (200, encode(Results(results=(RecordResult(id=NAME, position=1, refused=None),)))),
    }
    return tuple(
        b"%b\nHTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%b" % (asked, status, len(body), body)
        for asked, (status, body) in bodies.items()
    )
