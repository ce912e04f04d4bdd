"""One server for one folder, and workers that end with it.

In: a relay's folder. Out: a lock that is held for as long as a process of its server lives, or StoreError that says
whose it is. Relays with folders of their own may share one database (docs/decisions/0010); two in one folder would
share its port, and whoever stops or replaces one would be answered by the other.
"""

import multiprocessing
import os
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
    """The relay's folder is this process's to serve, and its workers', until the body ends. Raises StoreError."""
    lock = take_lock(folder / _LOCK, lambda holder: _served(folder, holder), _WORKERS_S)
    try:
        yield
    finally:
        os.close(lock)


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
