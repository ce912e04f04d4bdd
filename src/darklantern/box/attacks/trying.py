"""The attacks on the walls of a box, 1 to 17: outside, where they must work, then inside, where they must not."""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from darklantern.box.attacks import payloads
from darklantern.box.confine.bubblewrap import INPUTS, Allowed, Confined, Kernel, interpreter
from darklantern.box.confine.rungs import own_user, rung
from darklantern.box.running.starting import Running, start
from darklantern.box.running.watchdog import Computed, Together, beyond
from darklantern.box.volume import passable
from darklantern.errors import BoxError

Verdict = Literal["held", "broken", "not shown"]
"""not shown: the attack did not work outside either, so that its failure inside says nothing"""
_PAYLOADS: Final = Path(payloads.__file__).read_bytes()
_TRIES_S: Final = 60.0
_SECRET: Final = "a canary that no box may see"
_ALLOWED: Final = Allowed(memory=2**28, scratch=2**20, processes=24, cpu_s=60, disk=2**22)


@dataclass(frozen=True)
class Tried:
    """One attack's outcome."""

    number: int
    attack: str
    outside: str
    inside: str

    @property
    def verdict(self) -> Verdict:
        """What it shows."""
        if self.inside == "worked":
            return "broken"
        return "held" if self.outside == "worked" else "not shown"


@dataclass(frozen=True)
class Ground:
    """Where attacks are tried: folders, a host with services, a box."""

    folder: Path
    work: Path
    confined: Confined
    python: str
    told: dict[str, Any]
    descriptor: int
    """left open, with a secret behind it"""


def walls(kernel: Kernel) -> Iterator[Tried]:
    """Each attack on the walls in turn. Raises BoxError where no box can be held at all."""
    with ground(kernel) as at:
        for name in payloads.ATTACKS:
            yield attempted(at, name)


def attempted(at: Ground, name: str) -> Tried:
    """One attack on the walls."""
    return Tried(list(payloads.ATTACKS).index(name) + 1, name, _outside(at, name), _inside(at, name))


@contextmanager
def ground(kernel: Kernel) -> Iterator[Ground]:
    """A host to attack, made for it and gone after it."""
    on = rung(kernel)
    # Not in /tmp, of which a box has its own.
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="darklantern-box-") as made, own_user(on) as user:
        folder = Path(made)
        work = _laid_out(folder, user)
        with _services(folder) as told, (folder / "secret").open("rb") as left_open:
            os.set_inheritable(left_open.fileno(), True)
            python = _python()
            confined = Confined(on, user, folder / "inputs", work, _ALLOWED, interpreter())
            if printed_by(*start_printing(confined, [python, "-I", "-S", "-c", "print('runs')"])) != "runs":
                raise BoxError("nothing runs in a box here", hint="`darklantern box doctor` says why")
            yield Ground(folder, work, confined, python, told, left_open.fileno())


def _python() -> str:
    """This interpreter, or the system's where whoever runs this may not read its folders."""
    return "python" if os.access(sys.base_prefix, os.R_OK | os.X_OK) else "/usr/bin/python3"


def printed_by(box: Running, reading: int, passed: Callable[[], object] = lambda: None) -> str:
    """What a box of ours prints until it ends. It is killed after a time, or where it has `passed` something."""
    data, deadline = b"", time.monotonic() + _TRIES_S
    try:
        while time.monotonic() < deadline and len(data) < 65_536 and not passed():
            if select.select([reading], [], [], 0.02)[0]:
                more = os.read(reading, 4096)
                if not more:
                    break
                data += more
    finally:
        box.kill()
        os.close(reading)
    return data.decode(errors="replace").strip()


def start_printing(confined: Confined, command: Sequence[str]) -> tuple[Running, int]:
    """A box whose output can be read here: for our own programs alone."""
    reading, writing = os.pipe()
    try:
        return start(confined, command, said=writing), reading
    finally:
        os.close(writing)


def _outside(at: Ground, name: str) -> str:
    (at.folder / "outside" / "input").write_text("an input")  # the attack before may have removed it
    told = at.told | {"inputs": str(at.folder / "outside"), "scratch": str(at.folder)}
    done = subprocess.run(
        [here(at), "-I", "-S", str(at.folder / "inputs" / "payloads.py"), name, json.dumps(told)],
        env={"PATH": os.environ.get("PATH", ""), "SECRET": _SECRET},
        close_fds=False,
        capture_output=True,
        text=True,
        timeout=_TRIES_S,
        check=False,
    )
    return done.stdout.strip() or "refused"


def here(at: Ground) -> str:
    """The same interpreter outside."""
    return sys.executable if at.python == "python" else at.python


def _inside(at: Ground, name: str) -> str:
    told = at.told | {"inputs": INPUTS, "scratch": "/tmp"}
    command = [at.python, "-I", "-S", f"{INPUTS}/payloads.py", name, json.dumps(told)]
    box, reading = start_printing(at.confined, command)
    # What one process may have the kernel enforces on rungs A and B; gVisor's leaves memory to the watchdog.
    watched = {"passed": lambda: beyond(box.first, None, together(at), Computed())}
    said = printed_by(box, reading, **(watched if at.confined.rung == "G" else {}))
    return said if said in ("worked", "impossible") else "refused"


def together(at: Ground) -> Together:
    """The watchdog's limits."""
    allowed = at.confined.allowed
    kernel: Kernel = "gvisor" if at.confined.rung == "G" else "host"
    return Together(memory=allowed.memory, cpu_s=allowed.cpu_s, disk=2**30, files=1000, kernel=kernel)


def _laid_out(folder: Path, user: int) -> Path:
    """Inputs for both sides, a file to keep secret, and the box's own folder."""
    folder.chmod(0o755)
    for name in ("inputs", "outside", "work"):
        passable(folder / name)
    (folder / "inputs" / "input").write_text("an input")
    script = folder / "inputs" / "payloads.py"
    script.write_bytes(_PAYLOADS)
    script.chmod(0o644)
    (folder / "secret").write_text(_SECRET)
    if os.geteuid() == 0:
        os.chown(folder / "work", user, user)
    return folder / "work"


@contextmanager
def _services(folder: Path) -> Iterator[dict[str, Any]]:
    """What a host has: sockets that answer, a resolver, a process; and their names."""
    with socket.socket(socket.AF_UNIX) as by_path, socket.socket(socket.AF_UNIX) as abstract:
        name = f"darklantern-box-{os.getpid()}"
        by_path.bind(str(folder / "service"))
        abstract.bind("\0" + name)
        for each in (by_path, abstract):
            each.listen()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
            resolver.bind(("127.0.0.1", 0))
            threading.Thread(target=_answer, args=(resolver,), daemon=True).start()
            yield {
                "path socket": str(folder / "service"),
                "abstract socket": name,
                "resolver": resolver.getsockname()[1],
                "host": {str(folder / "secret"): _SECRET, **_of_the_host()},
                "secret": _SECRET,
                "process": os.getpid(),
                "memory": _ALLOWED.memory,
                "processes": _ALLOWED.processes,
                "scratch bytes": _ALLOWED.scratch,
            }


def _of_the_host() -> dict[str, str]:
    """Files of the kernel that tell of this machine, with what they say."""
    names = ("/proc/sys/kernel/random/boot_id", "/proc/1/cmdline", "/sys/class/net/lo/address")
    found = {name: Path(name).read_text() for name in names if Path(name).exists()}
    return {name: text for name, text in found.items() if text}


def _answer(resolver: socket.socket) -> None:
    with suppress(OSError):  # it was closed: nobody asks any longer
        while True:
            _, who = resolver.recvfrom(64)
            resolver.sendto(b"answer", who)
