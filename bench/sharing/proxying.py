"""A relay's port behind another that counts what passes, and can stop a client in the middle of it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Counting:
    """Forwards to a port of this machine. `passed` counts bytes both ways."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.passed = 0
        self.at: tuple[int, Callable[[], None]] | None = None
        """what to do once so many bytes have passed"""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                # What waits here to be sent has not passed; without this it would be megabytes.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
                server = socket.create_connection(("127.0.0.1", self._to))
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                self.passed += len(data)
                if self.at and self.passed >= self.at[0]:
                    act, self.at = self.at[1], None
                    act()
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def counting(to: int) -> Iterator[Counting]:
    """One, closed at the end."""
    proxy = Counting(to)
    try:
        yield proxy
    finally:
        proxy.close()
