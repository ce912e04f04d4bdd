"""Real training processes for tests of what stands around them, and patience with a limit."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from darklantern.watch.runs.files import Entry, entries

WORKER = Path(__file__).parent / "run_worker.py"
LONGEST_S = 60.0
"""for what takes a fraction of a second on an idle machine"""
QUICK = {"kill_after": 0.3, "look_every": 0.05}
"""a watchdog for tests"""


@contextmanager
def worker(folder: Path, how: str, **guard: Any) -> Iterator[subprocess.Popen[str]]:
    """A process of `run_worker.py` that has beaten once; it is gone afterwards."""
    words = [sys.executable, str(WORKER), str(folder), how, *([json.dumps(guard)] if guard else [])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def until(what: Callable[[], Any]) -> Any:
    """What `what` gives, once it gives something."""
    deadline = time.monotonic() + LONGEST_S
    while not (found := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found


def happened(folder: Path, what: str) -> Entry | None:
    """The first line of a run's record that says so."""
    return next((entry for entry in entries(folder) if entry.what == what), None)


def has_ended(pid: int) -> bool:
    """Whether a process is over. One that its parent left to init may lie there dead for a while."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def is_reaped(pid: int) -> bool:
    """Whether no process has that pid, not even a dead one."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
