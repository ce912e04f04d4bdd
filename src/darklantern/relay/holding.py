"""One server for one folder and one port, and workers that end with it.

In: a relay's folder, an address. Out: a lock that is held while its server lives, or StoreError that says whose it is.
Relays with folders of their own may share one database (docs/decisions/0010); two in one folder would share its port,
and whoever stops or replaces one would be answered by the other.
"""

import multiprocessing
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from darklantern.errors import StoreError
from darklantern.locks import take_lock

_LOCK: Final = "lock"
_WORKERS_S: Final = 2.0
"""how long the workers of a server that was killed may take to end"""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The relay's folder is this process's to serve until the body ends. Raises StoreError.

    Workers that are forked hold it too; others end with their server all the same, and hold its port until then.
    """
    lock = take_lock(folder / _LOCK, lambda holder: _served(folder, holder), _WORKERS_S)
    try:
        yield
    finally:
        os.close(lock)


def check_free(address: str, port: int) -> None:
    """Raises StoreError where a server cannot listen, or somebody else does: the system would give each of two servers
    some of the connections, and nobody would be told."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not count
        try:
            probe.bind((address, port))
        except OSError as error:
            raise StoreError(
                f"expected to listen on {address}, port {port}: {error.strerror or error}",
                hint="another relay or program may have it; `listen` and `port` in relay.toml say which this one takes",
            ) from error


def end_with_server() -> None:
    """In a worker: end at once when the server is gone. Else it would serve on where nobody can stop it any more."""
    server = multiprocessing.parent_process()
    if server is not None:

        def follow() -> None:
            server.join()
            os._exit(os.EX_SOFTWARE)  # as if it had been killed with its server, which no record is lost by

        threading.Thread(target=follow, name="server", daemon=True).start()


def _served(folder: Path, holder: str) -> StoreError:
    return StoreError(
        f"the relay in {folder} is served by {holder} already",
        hint="stop that one first, with Ctrl-C or SIGTERM; `workers` in relay.toml makes one relay use more cores",
    )
