"""Reading every piece once and comparing it with its name, as fast as the disk gives it.

In: files and the BLAKE3 that each should have. Out: for each in order, what is wrong with it, or nothing. Reading and
hashing leave Python's lock, so that threads share the work; each has one small buffer, whatever the pieces' sizes.
"""

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final

from blake3 import blake3

_BUFFER: Final = 256 * 1024
_AHEAD: Final = 64
"""Pieces that are handed to threads before the first answer is taken: a store may hold millions."""

_local = threading.local()


def check(pieces: Iterable[tuple[Path, str]]) -> Iterator[str | None]:
    """For each (file, name): None where it is whole, else "is missing", "is damaged" or why it cannot be read."""
    source = iter(pieces)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), "checking pieces") as threads:
        waiting = deque(threads.submit(_check, *piece) for piece in islice(source, _AHEAD))
        while waiting:
            found = waiting.popleft().result()
            waiting.extend(threads.submit(_check, *piece) for piece in islice(source, 1))
            yield found


def _check(path: Path, name: str) -> str | None:
    try:
        with path.open("rb", buffering=0) as file:
            buffer = _buffer()
            found = blake3()
            while size := file.readinto(buffer):
                found.update(buffer[:size])
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if found.hexdigest() == name else "is damaged on disk"


def _buffer() -> memoryview:
    if not hasattr(_local, "buffer"):
        _local.buffer = memoryview(bytearray(_BUFFER))
    return _local.buffer
