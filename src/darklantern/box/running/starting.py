"""A confined process, started with its pipes; and ended, with all that it started."""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from darklantern.box.confine import gvisor
from darklantern.box.confine.bubblewrap import CPUINFO, Confined, Rung, command_line
from darklantern.box.confine.filters import as_descriptor, program
from darklantern.errors import BoxError

_DIES_S: Final = 10.0


@dataclass(frozen=True)
class Running:
    """A box that runs."""

    process: "subprocess.Popen[bytes]"
    """bubblewrap outside the box: its death is the box's"""
    first: int
    """pid of the first process inside, as the host counts"""
    guard: "subprocess.Popen[bytes]"
    """ends the box when the supervisor is no more: it reads a pipe that only the supervisor holds"""
    lifeline: int

    def ended(self) -> int | None:
        """The exit code, None while it runs."""
        return self.process.poll()

    def kill(self) -> None:
        """End every process of the box at once. Raises BoxError if one is left."""
        if self.guard.poll() is not None:
            return
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + _DIES_S
        while lives(self.first):
            if time.monotonic() > deadline:
                raise BoxError(
                    f"process {self.first} of the box does not die", hint="it waits for the kernel: look at its state"
                )
            time.sleep(0.001)
        self.guard.kill()
        self.guard.wait()
        os.close(self.lifeline)


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

    bubblewrap ties the box's life to ours, but not from its first moment on. So the command waits at a gate until a
    guard stands by: whenever the supervisor is killed, either the gate is never opened or the guard ends the box.
    """
    info, told = os.pipe()
    gate, open_ = os.pipe()
    words, *own = _words(confined, command, told, hand)
    try:
        process = subprocess.Popen(
            words,
            stdin=gate,
            stdout=said,
            stderr=said,
            pass_fds=(*own, told, *hand),
            start_new_session=True,  # Ctrl-C is for the supervisor, which ends the box
            env={},
        )
    except OSError as error:
        raise BoxError(f"bubblewrap does not start: {error}", hint="`darklantern box doctor` says why") from error
    finally:
        for each in (*own, told, gate):
            os.close(each)
    try:
        first = _first(info, process)
        box = Running(process, first, *_guard(process.pid, first))
        os.write(open_, b"go\n")
        return box
    except BaseException:
        process.kill()
        process.wait()
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
    if confined.rung == "G":
        config = as_descriptor(gvisor.configuration(confined, command, len(hand)))
        return gvisor.command_line(confined, config, told, hand), config
    filter, cpuinfo = as_descriptor(program()), as_descriptor(CPUINFO.read_bytes())
    return command_line(confined, command, filter, cpuinfo, told), filter, cpuinfo


def _guard(*pids: int) -> tuple["subprocess.Popen[bytes]", int]:
    reading, lifeline = os.pipe()
    try:
        # In a session of its own: what ends the supervisor by a key does not end this one.
        kill = ["/bin/sh", "-c", 'read -r never; kill -KILL "$@"', "sh", *map(str, pids)]
        return subprocess.Popen(kill, stdin=reading, stderr=subprocess.DEVNULL, start_new_session=True), lifeline
    finally:
        os.close(reading)


def _first(info: int, process: "subprocess.Popen[bytes]") -> int:
    """The pid that bubblewrap tells before it starts the command."""
    data = b""
    while b"}" not in data:
        more = os.read(info, 4096)
        if not more:
            code = process.wait()
            raise BoxError(
                f"bubblewrap ended with {code} before the box began", hint="`darklantern box doctor` says why"
            )
        data += more
    return int(json.loads(data)["child-pid"])


def lives(pid: int) -> bool:
    """Whether there is such a process, other than as what its parent has not collected yet."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
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
