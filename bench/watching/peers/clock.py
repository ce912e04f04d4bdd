"""Processor time: of this process, and of those that it started. Standard library only."""

import os
import resource
import time
from pathlib import Path


def own() -> float:
    """Seconds of this process, all threads."""
    return time.process_time()


def helpers() -> float:
    """Seconds of processes that this one started, ended or not, and theirs; where there is no /proc, of ended ones."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks, parents = os.sysconf("SC_CLK_TCK"), {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents[int(path.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    below, spent = {os.getpid()}, 0
    while found := {pid for pid, (parent, _) in parents.items() if parent in below} - below:
        below |= found
        spent += sum(parents[pid][1] for pid in found)
    return ended.ru_utime + ended.ru_stime + spent / ticks
