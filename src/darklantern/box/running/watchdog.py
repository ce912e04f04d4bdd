"""Limits of all processes of a box together, looked at from outside, many times a second.

It is a watchdog, and no wall: between two looks a box can go beyond them. What one process may have is the kernel's to
enforce (`bubblewrap._limits`), and scratch memory has a fixed size.
"""

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from darklantern.box.confine.bubblewrap import Kernel
from darklantern.box.running.starting import children
from darklantern.box.volume import amount

LOOK_S: Final = 0.02
"""between two looks"""
_DISK_EVERY: Final = 25
"""looks: walking a folder is dearer than reading two files of /proc"""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_BLOCK: Final = 512
_GVISOR_FILE: Final = "/memfd:runsc-memory"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Together:
    """What the processes of a box may use together."""

    memory: int
    cpu_s: float
    disk: int
    files: int
    kernel: Kernel = "host"


def memory_of(pids: Iterable[int], enough: int) -> int:
    """Bytes that processes have in memory. Pages that several share are counted once, but where `enough` is not passed
    by counting them for each.
    """
    pids = tuple(pids)
    simply = sum(_resident(pid) for pid in pids)
    return simply if simply <= enough else sum(_shared_out(pid) for pid in pids)


def gvisor_memory(pids: Iterable[int]) -> int:
    """Bytes that gVisor's kernel has given to its programs: it keeps all of them in one file in memory."""
    for pid in pids:
        with suppress(OSError):
            for each in Path(f"/proc/{pid}/fd").iterdir():
                if str(each.readlink()).startswith(_GVISOR_FILE):
                    return each.stat().st_blocks * _BLOCK
    return 0


def cpu_of(pids: Iterable[int]) -> float:
    """Seconds that processes, and those of theirs that ended, have computed."""
    return sum(_times(pid) for pid in pids) / _TICKS


class Looking(threading.Thread):
    """Looks at a box many times a second beside its supervisor, whose ticks wait for no look however slow it is."""

    def __init__(self, first: int, work: Path, most: Together) -> None:
        super().__init__(name=f"watchdog of {first}", daemon=True)
        self._first, self._work, self._most, self._over = first, work, most, threading.Event()
        self.passed: str | None = None
        """the limit that was passed, or why none can be told"""

    def run(self) -> None:
        for look in count(1):
            if self._over.wait(LOOK_S):
                return
            try:
                self.passed = beyond(self._first, self._work, self._most, look % _DISK_EVERY == 0)
            except OSError as error:  # what cannot be looked at is not held
                self.passed = str(error)
            if self.passed is not None:
                return

    def __enter__(self) -> "Looking":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def beyond(first: int, work: Path, most: Together, look_at_disk: bool) -> str | None:
    """The limit that a box has passed, None for none."""
    pids = children(first)
    if memory_of(pids, most.memory) > most.memory or (most.kernel == "gvisor" and gvisor_memory(pids) > most.memory):
        return "memory"
    if cpu_of(pids) > most.cpu_s:
        return "cpu"
    if look_at_disk:
        size, count = amount(work, most.files)
        if size > most.disk:
            return "disk"
        if count > most.files:
            return "files"
    return None


def _resident(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0


def _shared_out(pid: int) -> int:
    """Its own pages, and its share of those that it has with others."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _times(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return 0
