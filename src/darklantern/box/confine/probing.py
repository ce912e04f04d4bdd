"""Tried from inside, before each run: what a box must hold. Prints the name of each property that it found to hold.

Run as a script within a box, with the standard library alone. A property whose attempt succeeds is not printed.
"""

import ctypes
import fcntl
import os
import socket
import termios
from collections.abc import Callable
from pathlib import Path

_NEW_USER = 0x10000000
_TRACE_ME = 0


def _raises(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return True
    return False


def _call(name: str, *arguments: int) -> bool:
    """Whether a call of the C library fails."""
    return int(getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)) == -1


def _locked(path: str) -> None:
    with Path(path).open("rb") as file:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _no_capabilities() -> bool:
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    failed = ctypes.CDLL(None, use_errno=True).capget(header, sets)
    return failed == 0 and not any(sets)


def _only_own_processes() -> bool:
    """/proc has nobody but this process and those that it comes from; where it is not /proc at all, one file."""
    seen = {int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()}
    at = os.getpid()
    while at in seen:
        seen.remove(at)
        at = int(Path(f"/proc/{at}/stat").read_text().rpartition(")")[2].split()[1])
    return not seen


PROPERTIES: dict[str, Callable[[], bool]] = {
    "no internet": lambda: _raises(lambda: socket.socket(socket.AF_INET)),
    "no sockets to a host": lambda: _raises(lambda: socket.socket(40)),
    "no sockets to the kernel": lambda: _raises(lambda: socket.socket(16, socket.SOCK_RAW)),
    "no capabilities": _no_capabilities,
    "no processes of the host": _only_own_processes,
    "no files of the host": lambda: (
        not Path("/etc/passwd").exists() and not Path("/proc/sys/kernel/random/boot_id").exists()
    ),
    "inputs cannot be written": lambda: _raises(lambda: Path("/box/inputs/written").mkdir()),
    "nothing written beside its own folders": lambda: all(
        _raises(Path(where, "written").mkdir) for where in ("/", "/box", "/etc", "/dev", "/proc", "/usr")
    ),
    "no locks that others see": lambda: _raises(lambda: _locked("/usr/bin/env")),
    "no namespaces of its own": lambda: _call("unshare", _NEW_USER),
    "no tracing": lambda: _call("ptrace", _TRACE_ME, 0, 0, 0),
    "no files in memory": lambda: _raises(lambda: os.memfd_create("x")),
    "no typing on a terminal": lambda: _raises(lambda: fcntl.ioctl(0, termios.TIOCSTI, b"x")),
    "first process of its own": lambda: os.getppid() <= 2,
}


if __name__ == "__main__":
    for name, holds in PROPERTIES.items():
        if holds():
            print(name, flush=True)
