"""A relay that lies: it lets everybody log in, shows the notes and entries that it was given, and may never end."""

import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from darklantern.logs import frames
from darklantern.logs.stream import Frame, Kind
from darklantern.sealing import RelayCard, RelayKey

from .asking import exact


@dataclass
class Lies:
    """What it shows; it may change while it runs."""

    key: RelayKey
    notes: Mapping[str, bytes] = field(default_factory=dict)
    entries: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    drips: str = ""
    """paths with this in them are answered a byte at a time, for ever"""
    asked: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def card(self) -> RelayCard:
        return RelayCard(public=self.key.public, urls=(self.url,), certificate=None)


@contextmanager
def lying(lies: Lies) -> Iterator[Lies]:
    """It serves on loopback until the end."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            expires = int(time.time()) + 600
            match self.path:
                case "/v1/nonce":
                    nonce = b64encode(bytes(32)).decode()
                    self.say(exact(v=1, relay=lies.key.public.id, nonce=nonce, expires=expires))
                case "/v1/token":
                    self.say(exact(v=1, token="any", expires=expires))
                case _:
                    self.say(exact(v=1, names=[]))

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if lies.drips and lies.drips in path:
                self.drip()
            elif path == "/v1/heads":
                heads = [{"log": log, "note": b64encode(note).decode()} for log, note in sorted(lies.notes.items())]
                self.say(exact(v=1, heads=heads))
            else:
                log = path.split("/")[3]
                start, stop = (int(part.partition("=")[2]) for part in query.split("&"))
                page = lies.entries[log][start : min(stop, start + 300)]
                said = exact(v=1, log=log, start=start, count=len(page))
                self.say(frames.pack([Frame(Kind.RANGE, said), *(Frame(Kind.ENTRY, each) for each in page)]))
            lies.asked.append(path)

        def say(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def drip(self) -> None:
            lies.asked.append(self.path)
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
                while not ended.wait(0.02):
                    self.wfile.write(b"x")
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    lies.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield lies
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
