"""A file that one process holds at a time, and that says which one.

In: a path. Out: a handle to close, or the holder's pid. The system lets go of it when its process ends, however that
ends: no lock is ever left behind, and nobody has to judge whether its holder is dead.
"""

import fcntl
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from darklantern.errors import StoreError
from darklantern.files import cannot_write

_LOOK_S: Final = 0.05
_LONGEST_PID: Final = 20


def take_lock(path: Path, held: Callable[[str], StoreError], wait_s: float = 0.0) -> int:
    """A handle on the file `path`, locked until it is closed; a process that is forked meanwhile holds it too.

    While another process holds it, this waits for `wait_s`, and then raises what `held` makes of the holder's name:
    "process 1234". Raises StoreError where there can be no such file, or another thing stands in its place: a symlink
    is not followed, since what it leads to would be overwritten with our pid.
    """
    lock = _opened(path)
    deadline = time.monotonic() + wait_s
    try:
        while not _is_taken(lock):
            if time.monotonic() >= deadline:
                raise held(_holder(lock))
            time.sleep(_LOOK_S)
    except BaseException:
        os.close(lock)
        raise
    with suppress(OSError):  # a full disk: the holder goes unnamed, and holds it all the same
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d" % os.getpid(), 0)
    return lock


def _opened(path: Path) -> int:
    try:
        # Without O_NONBLOCK a device in its place could hold whoever opens it.
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if path.is_symlink():
            raise _no_lock(path, "a symlink") from error
        raise cannot_write(path, error) from error
    if not stat.S_ISREG(os.fstat(lock).st_mode):
        os.close(lock)
        raise _no_lock(path, "no plain file")
    return lock


def _no_lock(path: Path, what: str) -> StoreError:
    return StoreError(
        f"expected a plain file to lock at {path}, got {what}", hint="see who put it there, and remove it"
    )


def _is_taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreError(
            f"this disk cannot say who uses a file: {error.strerror or error}",
            hint="some network folders have no locks; use a local disk",
        ) from error
    return True


def _holder(lock: int) -> str:
    said = os.pread(lock, _LONGEST_PID, 0)
    return f"process {int(said)}" if said.isdigit() else "another process"
