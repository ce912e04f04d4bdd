"""A wire to a server that is cut after some bytes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def cut_wire(port: int, up_bytes: int, down_bytes: int) -> Iterator[int]:
    """A port on loopback that leads to `port`; each connection ends once one direction has carried its bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, port, up_bytes, down_bytes), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, port: int, up_bytes: int, down_bytes: int) -> None:
    with suppress(OSError):
        while True:
            near = listener.accept()[0]
            threading.Thread(target=_carry_both, args=(near, port, up_bytes, down_bytes), daemon=True).start()


def _carry_both(near: socket.socket, port: int, up_bytes: int, down_bytes: int) -> None:
    with near, socket.create_connection(("127.0.0.1", port)) as far:
        up = threading.Thread(target=_carry, args=(near, far, up_bytes), daemon=True)
        up.start()
        _carry(far, near, down_bytes)
        up.join()


def _carry(source: socket.socket, target: socket.socket, left: int) -> None:
    with suppress(OSError):
        while left and (data := source.recv(min(65536, left))):
            target.sendall(data)
            left -= len(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
