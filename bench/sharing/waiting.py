"""Ports of this machine, and waiting for who is to listen there."""

import socket
import time

_START_S = 30


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_listening(port: int) -> None:
    """Until somebody does; raises TimeoutError after half a minute."""
    deadline = time.monotonic() + _START_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected somebody to listen on {port} within {_START_S} s")
        time.sleep(0.05)
