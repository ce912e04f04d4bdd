"""A watchdog as its training process has it: started, told of each beat, dismissed, reaped.

In: orders. Out: a process of its own session that says that it watches, or a WatchError.
"""

import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from darklantern.errors import RecordError, WatchError
from darklantern.records.exact import decode
from darklantern.watch.runs.files import Guard
from darklantern.watch.runs.guarding import Orders, Pulse

_READY_S: Final = 60.0
_LEAVING_S: Final = 10.0
"""for it to tell people what it was about to tell"""


class StartedWatchdog:
    """A watchdog that watches. Raises WatchError when it does not come to that."""

    def __init__(self, orders: Orders) -> None:
        self._dog, self.guard = _started(orders)

    @property
    def status(self) -> int | None:
        """With which it ended; None while it lives. Asking reaps it."""
        return self._dog.poll()

    def pulse(self, pulse: Pulse) -> None:
        """Tell it of a beat. About a microsecond; never waits."""
        _write(self._dog, msgspec.json.encode(pulse) + b"\n")

    def dismiss(self) -> None:
        """Have it end."""
        _write(self._dog, b"\n")
        _reap(self._dog)


def _write(dog: subprocess.Popen[bytes], line: bytes) -> None:
    assert dog.stdin is not None
    # A full pipe means that somebody stopped the watchdog; then it counts no time either.
    with suppress(BlockingIOError, BrokenPipeError):
        os.write(dog.stdin.fileno(), line)


def _reap(dog: subprocess.Popen[bytes]) -> None:
    """Leave no process behind, not even a dead one."""
    try:
        dog.wait(_LEAVING_S)
    except subprocess.TimeoutExpired:
        dog.kill()
        dog.wait()
    for pipe in (dog.stdin, dog.stdout):
        if pipe is not None:
            pipe.close()


def _started(orders: Orders) -> tuple[subprocess.Popen[bytes], Guard]:
    """A watchdog that says that it watches. Raises WatchError."""
    log = Path(orders.folder) / "watchdog.log"
    try:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600), "ab") as errors:
            dog = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("begin_watchdog.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                start_new_session=True,  # the terminal's Ctrl-C and its hanging up are for the training
                env=os.environ | _environment(),
            )
    except OSError as error:
        raise _no_watchdog(f"{error.strerror or error}", log) from error
    assert dog.stdin is not None and dog.stdout is not None
    with suppress(BrokenPipeError):  # then it ended, and says nothing either
        dog.stdin.write(msgspec.json.encode(orders) + b"\n")
    os.set_blocking(dog.stdin.fileno(), False)
    ready, _, _ = select.select([dog.stdout], [], [], _READY_S)
    try:
        return dog, decode(Guard, dog.stdout.readline().rstrip(b"\n") if ready else b"")
    except RecordError as error:
        dog.kill()
        _reap(dog)
        raise _no_watchdog(f"it ended with status {dog.returncode}" if ready else "it said nothing", log) from error


def _environment() -> dict[str, str]:
    """So that it finds the same packages as this process, and takes neither threads nor a GPU."""
    ours = Path(__file__).parents[3]
    path = os.pathsep.join([*(each for each in sys.path if each), str(ours)])
    return {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def _no_watchdog(why: str, log: Path) -> WatchError:
    return WatchError(f"the watchdog did not start: {why}", hint=f"look at {log}; without it nobody notices a hang")
