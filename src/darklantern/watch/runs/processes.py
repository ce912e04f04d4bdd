"""Which process a pid names, and signals to exactly that one.

In: a process as it named itself. Out: whether it lives, or what came of a signal to it. A pid alone names nobody: it is
given to another process as soon as its own has ended. So a process is its pid, the time at which it started and the
machine (the boot, and the container's own numbering) in which both mean something.
"""

import os
import platform
import signal
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from darklantern.records.exact import Name, Value

_PS_S: Final = 10.0
_ENDED: Final = "ZX"
"""states of a process that nobody has reaped yet: it is over, whatever its pid still says"""
_SUSPENDED: Final = "Tt"

Life = Literal["running", "suspended", "ended", "elsewhere"]
"""`suspended`: by Ctrl-Z or a debugger. `elsewhere`: on another machine or in another container: nobody knows"""


class Process(Value, frozen=True, kw_only=True):
    """One process, and never the next one with its pid."""

    pid: Annotated[int, msgspec.Meta(ge=1)]
    started: Name
    """clock ticks since the boot on Linux, a date elsewhere"""
    machine: Name
    """boot and pid namespace on Linux, the host's name elsewhere"""


class Sent(Enum):
    """What came of a signal."""

    SENT = "sent"
    ENDED = "not sent: the process has ended"
    ELSEWHERE = "not sent: the process is on another machine or in another container"
    REFUSED = "not sent: the process is another user's"


@dataclass(frozen=True)
class _Seen:
    started: str
    state: str
    uid: int


def this_process() -> Process:
    """The process that calls."""
    seen = _see(os.getpid())
    return Process(pid=os.getpid(), started=seen.started if seen else "unknown", machine=machine())


@cache
def machine() -> str:
    """In what a pid and a start time mean something: this boot and pid namespace, or this host."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node() or "unknown"


def life(process: Process) -> Life:
    """Whether that very process lives. One that has ended and was not reaped counts as ended."""
    if process.machine != machine():
        return "elsewhere"
    seen = _see(process.pid)
    if seen is None or seen.started != process.started or seen.state[:1] in _ENDED:
        return "ended"
    return "suspended" if seen.state[:1] in _SUSPENDED else "running"


def handle(process: Process) -> int | None:
    """A pidfd of that very process, readable once it ends; None where the system has none. Close it.

    Raises ProcessLookupError when it has ended.
    """
    try:
        held = os.pidfd_open(process.pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):  # macOS; a kernel before 5.3; a sandbox that forbids it
        held = None
    # Asked only now: whoever has this pid while the handle is held keeps it.
    if life(process) == "ended":
        if held is not None:
            os.close(held)
        raise ProcessLookupError(process.pid)
    return held


def send(process: Process, number: signal.Signals, uid: int) -> Sent:
    """Send a signal to that very process, if it is `uid`'s: a run's folder must not aim root at another's process.

    Without pidfds the pid could be given away between the check and the signal; with them it cannot.
    """
    if process.machine != machine():
        return Sent.ELSEWHERE
    try:
        held = handle(process)
    except ProcessLookupError:
        return Sent.ENDED
    try:
        seen = _see(process.pid)
        if seen is not None and seen.uid != uid:
            return Sent.REFUSED
        if held is None:
            os.kill(process.pid, number)
        else:
            signal.pidfd_send_signal(held, number)
    except ProcessLookupError:
        return Sent.ENDED
    except PermissionError:
        return Sent.REFUSED
    finally:
        if held is not None:
            os.close(held)
    return Sent.SENT


def _see(pid: int) -> _Seen | None:
    return _see_in_proc(pid) if sys.platform == "linux" and Path("/proc/self/stat").exists() else _see_by_ps(pid)


def _see_in_proc(pid: int) -> _Seen | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()
    return _Seen(started=fields[19], state=fields[0], uid=int(uids[2]))  # proc_pid_stat(5): fields 22 and 3


def _see_by_ps(pid: int) -> _Seen | None:
    said = subprocess.run(
        ["ps", "-o", "uid=", "-o", "state=", "-o", "lstart=", "-p", str(pid)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PS_S,
        check=False,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
    ).stdout.split()
    return _Seen(started=" ".join(said[2:]), state=said[1], uid=int(said[0])) if len(said) > 2 else None
