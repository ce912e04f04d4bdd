"""Processor time and wall time, in this process and in others, one after the other in turns.

Ratios are of processor time, user and system: other people's work on the machine stretches the wall's. Both are told.
"""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Line = dict[str, Any]


class Took(NamedTuple):
    """Seconds."""

    cpu: float
    wall: float


Case = Callable[[], Took]


def own(work: Callable[[], object]) -> Case:
    """`work` in this process."""

    def case() -> Took:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return Took(time.process_time() - cpu, time.perf_counter() - wall)

    return case


def command(*arguments: str) -> Case:
    """A program, from its start to its end."""

    def case() -> Took:
        wall = time.perf_counter()
        child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, arguments)
        return Took(used.ru_utime + used.ru_stime, time.perf_counter() - wall)

    return case


def in_turns(cases: Mapping[str, Case], repeats: int) -> dict[str, list[Took]]:
    """Each case `repeats` times, in turns, after one turn that does not count."""
    found: dict[str, list[Took]] = {name: [] for name in cases}
    for turn in range(repeats + 1):
        for name, case in cases.items():
            took = case()
            if turn:
                found[name].append(took)
    return found


def times_faster(ours: list[Took], theirs: list[Took]) -> tuple[float, float]:
    """How many times as fast as theirs ours is: the median over the turns, by processor time and by the wall."""
    pairs = list(zip(ours, theirs, strict=True))
    return (
        round(statistics.median(their.cpu / our.cpu for our, their in pairs), 3),
        round(statistics.median(their.wall / our.wall for our, their in pairs), 3),
    )


def middle(took: list[Took]) -> Took:
    """The medians."""
    return Took(statistics.median(each.cpu for each in took), statistics.median(each.wall for each in took))


def line(
    name: str, value: float, unit: str, bar: str, ok: bool | None, peer: tuple[str, str] | None, **detail: Any
) -> Line:
    """One figure."""
    named, version = peer or (None, None)
    return {
        "room": "sharing",
        "name": name,
        "value": value,
        "unit": unit,
        "peer": named,
        "peer_version": version,
        "bar": bar,
        "ok": ok,
        "detail": detail,
    }
