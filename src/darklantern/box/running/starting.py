"""A confined process, started with its pipes; and ended, with all that it started."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from darklantern.box.confine import gvisor
from darklantern.box.confine.bubblewrap import CPUINFO, Confined, Rung, command_line
from darklantern.box.confine.filters import as_descriptor, program
from darklantern.errors import BoxError

_DIES_S: Final = 10.0
_WHY: Final = "`darklantern box doctor` says why"
_GUARD: Final = """
exec 4<&0 5>&2 2>/dev/null
(exec 3<"$0"; read -r first <&3 || exit; read -r never <&3; kill -KILL $first $$) </dev/null &
"$@" <&4 2>&5 4<&- 5>&-
code=$?
kill -KILL $!
exit $code
"""
"""Around bubblewrap, which dies with it: a shell that reads the box's first process from its lifeline, and kills that
and itself where the lifeline ends. That process may still be on its way to be tied to bubblewrap."""


class Running:
    """A box that runs. Made by `start`."""

    def __init__(self, guard: "subprocess.Popen[bytes]", lifeline: int, first: int) -> None:
        self.first = first
        """pid of the first process inside, as the host counts"""
        self._guard, self._lifeline = guard, lifeline
        self._handle = os.pidfd_open(first)  # its number may be another's by the time that it is to be killed
        self._over = False

    def ended(self) -> int | None:
        """The exit code, None while it runs."""
        return self._guard.poll()

    def wait(self) -> int:
        """The exit code, once it has ended."""
        return self._guard.wait()

    def strike(self) -> None:
        """End every process of the box, and wait for none: one with much memory takes its time to go."""
        if not self._over:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def kill(self) -> None:
        """End every process of the box at once, and wait for it. Raises BoxError if one is left."""
        if self._over:
            return
        self.strike()
        # The kernel ends all of a namespace before its first process is seen to have ended.
        if not select.select([self._handle], [], [], _DIES_S)[0]:
            raise BoxError(
                f"process {self.first} of the box does not die", hint="it waits for the kernel: look at its state"
            )
        self._guard.wait()
        self._over = True
        os.close(self._handle)
        os.close(self._lifeline)


def start(
    confined: Confined,
    command: Sequence[str],
    *,
    said: int = subprocess.DEVNULL,
    hand: Sequence[int] = (),
) -> Running:
    """Start a command behind the rung that `confined` names. Raises BoxError where it cannot be held.

    `said` takes what it prints; `hand` are descriptors that it inherits under the numbers that `handed` tells, and no
    others are.

    The command waits at a gate, a pipe whose other end only the supervisor has, until a guard stands by. Whenever the
    supervisor is killed, either the gate is never opened and the command never begins, or the guard ends the box;
    whenever the guard is killed, bubblewrap ends it. bubblewrap itself must come to the end of its start: tied to the
    supervisor, or to a pipe whose reader is gone, it would leave a half-made process behind.
    """
    info, told = _written_for_nobody_too()
    gate, open_ = os.pipe()
    life, lifeline = os.pipe()
    words, *own = _words(confined, command, told, hand)
    try:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, f"/proc/self/fd/{life}", *words],
            stdin=gate,
            stdout=said,
            stderr=said,
            pass_fds=(*own, told, life, *hand),
            start_new_session=True,  # Ctrl-C is for the supervisor, which ends the box
            env={},
        )
    finally:
        for each in (*own, told, gate, life):
            os.close(each)
    try:
        box = Running(guard, lifeline, _first(info))
        os.write(lifeline, b"%d\n" % box.first)
        os.write(open_, b"go\n")
        return box
    except BaseException as error:
        os.close(lifeline)
        if isinstance(error, OSError):  # its first process is gone, or its gate
            raise BoxError("bubblewrap ended before the box began", hint=_WHY) from error
        raise
    finally:
        os.close(info)
        os.close(open_)


def handed(rung: Rung, hand: Sequence[int]) -> tuple[int, ...]:
    """The numbers in a box of the descriptors that it is handed."""
    return tuple(range(gvisor.FIRST, gvisor.FIRST + len(hand))) if rung == "G" else tuple(hand)


def _words(
    confined: Confined, command: Sequence[str], told: int, hand: Sequence[int]
) -> tuple[list[str], *tuple[int, ...]]:
    """The command line of a rung, and the descriptors that it reads, which the caller closes."""
    if command[0] == "python":  # not every system has one of that name
        command = (sys.executable, *command[1:])
    if confined.rung == "G":
        config = as_descriptor(gvisor.configuration(confined, command, len(hand)))
        return gvisor.command_line(confined, config, told, hand), config
    filter, cpuinfo = as_descriptor(program()), as_descriptor(CPUINFO.read_bytes())
    return command_line(confined, command, filter, cpuinfo, told), filter, cpuinfo


def _written_for_nobody_too() -> tuple[int, int]:
    """A pipe that can be written to when its reader is gone: whoever writes could read it."""
    reading, writing = os.pipe()
    try:
        return reading, os.open(f"/proc/self/fd/{writing}", os.O_RDWR | os.O_CLOEXEC)
    finally:
        os.close(writing)


def _first(info: int) -> int:
    """The pid that bubblewrap tells before it starts the command. Raises BoxError where it ends without one."""
    data = b""
    while b"}" not in data:
        more = os.read(info, 4096)
        if not more:
            raise BoxError("bubblewrap ended before the box began", hint=_WHY)
        data += more
    return int(json.loads(data)["child-pid"])


def lives(pid: int) -> bool:
    """Whether there is such a process, other than as what its parent has not collected yet."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    return False


def children(pid: int) -> list[int]:
    """All processes under one, itself included: a daemon's parent is the box's first process."""
    found, open_ = [], [pid]
    while open_:
        at = open_.pop()
        found.append(at)
        with suppress(OSError):  # it ended meanwhile
            for thread in Path(f"/proc/{at}/task").iterdir():
                with suppress(OSError):
                    open_ += map(int, (thread / "children").read_text().split())
    return found
