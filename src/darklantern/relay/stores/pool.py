"""Connections that wait for the next transaction, so that threads share few of them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from darklantern.errors import DarkLanternError


class Closable(Protocol):
    """A connection of either database."""

    def close(self) -> None:
        """Drop the connection."""


C = TypeVar("C", bound=Closable)


class Pool(Generic[C]):
    """At most `size` connections at a time; who asks for one more waits. Not to be carried through a fork."""

    def __init__(self, connect: Callable[[], C], size: int) -> None:
        self._connect = connect
        self._places = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[C] = []
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[C]:
        """A connection for the body. One that failed is closed; a refusal of ours is no failure of the connection."""
        with self._places:
            with self._lock:
                held = self._idle.pop() if self._idle else None
            connection = held or self._connect()
            try:
                yield connection
            except DarkLanternError:
                self._keep(connection)
                raise
            except BaseException:
                connection.close()
                raise
            self._keep(connection)

    def close(self) -> None:
        """Close what is idle now, and what is in use when it comes back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _keep(self, connection: C) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()
