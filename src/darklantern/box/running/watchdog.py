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
from typing import Final, NamedTuple

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


class Computed:
    """Seconds that the processes of a box have computed, those that ended among them."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], int] = {}

    def by(self, pids: Iterable[int]) -> float:
        """All of it, now that these are alive.

        A process that was seen counts for good, whoever collects it; one that was not counts with who collected it.
        """
        found = [(pid, _times(pid)) for pid in pids]
        self._seen |= {(pid, times.since): times.own for pid, times in found if times is not None}
        with_children = sum(times.own + times.children for _, times in found if times is not None)
        return max(sum(self._seen.values()), with_children) / _TICKS


class Looking(threading.Thread):
    """Looks at a box many times a second beside its supervisor, whose ticks wait for no look however slow it is."""

    def __init__(self, first: int, work: Path | None, most: Together) -> None:
        super().__init__(name=f"watchdog of {first}", daemon=True)
        self._first, self._work, self._most, self._over = first, work, most, threading.Event()
        self._computed = Computed()
        self.passed: str | None = None
        """the limit that was passed, or why none can be told"""

    def run(self) -> None:
        for look in count(1):
            if self._over.wait(LOOK_S):
                return
            try:
                work = self._work if look % _DISK_EVERY == 0 else None
                self.passed = beyond(self._first, work, self._most, self._computed)
            except (OSError, ValueError):  # what cannot be looked at is not held
                self.passed = "looking"
            if self.passed is not None:
                return

    def __enter__(self) -> "Looking":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def beyond(first: int, work: Path | None, most: Together, computed: Computed) -> str | None:
    """The limit that a box has passed, None for none. `work` is a folder to count, where it is time to."""
    pids = children(first)
    if memory_of(pids, most.memory) > most.memory or (most.kernel == "gvisor" and gvisor_memory(pids) > most.memory):
        return "memory"
    if computed.by(pids) > most.cpu_s:
        return "cpu"
    if work is not None:
        size, count = amount(work, most.files)
        if size > most.disk:
            return "disk"
        if count > most.files:
            return "files"
    return None


def _resident(pid: int) -> int:
    """By any thread: where the first has ended, it tells of no memory."""
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError, IndexError):
                if pages := int((thread / "statm").read_bytes().split()[1]):
                    return pages * _PAGE
    return 0


def _shared_out(pid: int) -> int:
    """Its own pages, and its share of those that it has with others; all, where that is not told."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return _resident(pid)


class _Times(NamedTuple):
    own: int
    children: int
    """that ended and were collected"""
    since: int
    """which tells one process from a later one of the same number"""


def _times(pid: int) -> _Times | None:
    with suppress(OSError, IndexError):  # its name may be any bytes
        told = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return _Times(int(told[11]) + int(told[12]), int(told[13]) + int(told[14]), int(told[19]))
    return None
