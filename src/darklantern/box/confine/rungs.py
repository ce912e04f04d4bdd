"""Which rung of the ladder this machine holds, found by trying: nothing degrades silently.

A: root, with a user of its own inside. B: whoever, in a user namespace. G: as A, and gVisor's kernel in between, where
a declaration asks for it. A machine that does not hold what is asked is refused: what Landlock and a filter alone can
do leaves the host's processes and names in sight.
"""

import os
import select
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from darklantern.box.confine import probing
from darklantern.box.confine.bubblewrap import INPUTS, Allowed, Confined, Kernel, Rung, interpreter
from darklantern.box.confine.hindrances import hint
from darklantern.box.running.starting import start
from darklantern.errors import BoxError, StoreError
from darklantern.locks import take_lock

_NEEDS: Final = (("bwrap", "bubblewrap"), ("prlimit", "util-linux"), ("setpriv", "util-linux"))
"""program, and Debian's package of it"""
_PROBES: Final = Path(probing.__file__).read_bytes()
_FIRST_USER: Final = 2_100_000_000
"""above what systems give to people, and to containers: systemd's end at 1,879,048,191"""
_USERS: Final = 1000
_PROBES_S: Final = 30.0
_REMARKS: Final = (
    "memory and cpu of all processes together, a resumable box's disk and files: watchdog, not enforced by the kernel",
    "shared with the host: its kernel, the page cache, the processor's time, its list of processes for who may see it",
)
_LOGGED: Final = Path("/proc/sys/debug/exception-trace")


@dataclass(frozen=True)
class Held:
    """A rung, and what was found to hold on it."""

    rung: Rung
    properties: tuple[str, ...]


def rung(kernel: Kernel) -> Rung:
    """The rung for whoever runs this. Raises BoxError where a part of it is missing."""
    root = os.geteuid() == 0
    for name, package in (*_NEEDS, *((("runsc", "runsc"),) if kernel == "gvisor" else ())):
        if shutil.which(name) is None:
            raise BoxError(f"{name} is not installed", hint=f"apt-get install {package}")
    if kernel == "gvisor" and not root:
        raise BoxError("gVisor's kernel is run by root alone", hint='as root, or with kernel = "host"')
    if kernel == "gvisor":
        return "G"
    return "A" if root else "B"


def remarks() -> tuple[str, ...]:
    """What no rung holds."""
    with suppress(OSError):  # not every kernel has it
        if _LOGGED.read_text().strip() != "0":
            return (*_REMARKS, "the kernel's log names what crashes: `sysctl debug.exception-trace=0` before a run")
    return _REMARKS


def tried(confined: Confined) -> Held:
    """The rung of `confined`, each property probed from inside. Raises BoxError, which names what does not hold."""
    with tempfile.TemporaryDirectory(dir=confined.inputs.parent) as folder:
        inputs = Path(folder)
        inputs.chmod(0o755)
        script = inputs / "probing.py"
        script.write_bytes(_PROBES)
        script.chmod(0o644)
        found = _printed(replace(confined, inputs=inputs))
    missing = [name for name in probing.PROPERTIES if name not in found]
    if len(missing) == len(probing.PROPERTIES):
        raise BoxError(
            f"nothing runs in a box here: {' '.join(sorted(found))[:300] or 'it said nothing'}",
            hint="can whoever runs this read the interpreter's folders? One in another's home is not passed on",
        )
    if missing:
        raise BoxError(
            f"rung {confined.rung} does not hold here: {', '.join(missing)}",
            hint="`darklantern box doctor` says what this machine lacks; nothing runs with less",
        )
    return Held(confined.rung, tuple(probing.PROPERTIES))


@contextmanager
def own_user(held: Rung) -> Iterator[int]:
    """A user id that no other box has while this one runs; on rung B one's own. Raises StoreError."""
    if held == "B":
        yield os.geteuid()
        return
    folder = Path("/run/darklantern-box")
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in range(_USERS):
        try:
            lock = take_lock(folder / str(number), _taken)
        except StoreError:
            continue
        try:
            yield _FIRST_USER + number
        finally:
            os.close(lock)
        return
    raise StoreError(f"{_USERS} boxes run already", hint="wait for one to end")


def small(held: Rung, user: int, folder: Path) -> Confined:
    """A box for probes: little of everything."""
    allowed = Allowed(memory=2**30, scratch=2**20, processes=16, cpu_s=60, disk=2**20)
    return Confined(held, user, folder, None, allowed, interpreter())


def _printed(confined: Confined) -> set[str]:
    """The lines that the probes print. Our own program's, and all the same compared and never believed beyond that."""
    reading, writing = os.pipe()
    try:
        box = start(confined, ["python", "-I", "-S", f"{INPUTS}/probing.py"], said=writing)
    except BoxError as error:
        os.set_blocking(reading, False)
        words = b"it said nothing"
        with suppress(BlockingIOError):
            words = os.read(reading, 300).strip() or words  # bubblewrap's own: nothing else was started
        os.close(reading)
        raise BoxError(f"{error.message}: {words.decode(errors='replace')}", hint=hint()) from error
    finally:
        os.close(writing)
    data, deadline = b"", time.monotonic() + _PROBES_S
    try:
        while time.monotonic() < deadline:
            if select.select([reading], [], [], 1.0)[0]:
                more = os.read(reading, 4096)
                if not more:
                    break
                data += more
    finally:
        box.kill()
        os.close(reading)
    return set(data.decode(errors="replace").splitlines())


def _taken(by: str) -> StoreError:
    return StoreError(f"taken by {by}", hint="the next one")
