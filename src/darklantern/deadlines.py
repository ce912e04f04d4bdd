"""An end to waiting for the other side of a connection, however little it sends at a time.

A socket's own timeout is for each read: whoever sends a byte now and then keeps within it for good.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def within(wire: socket.socket, seconds: float) -> Iterator[None]:
    """Cut the connection after `seconds`, whatever the body does by then; it gets an OSError or the end of the data."""
    timer = threading.Timer(seconds, cut, (wire,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def cut(wire: socket.socket) -> None:
    """End a connection at once, from any thread."""
    with suppress(OSError):  # it was closed meanwhile
        socket.socket.shutdown(wire, socket.SHUT_RDWR)  # SSLSocket's own would let its reader go on in the clear
