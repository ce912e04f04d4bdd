"""What attackers run, each the same outside and inside: a function that returns whether its attack worked.

Run as a script with the attack's name and, as JSON, what it is told of the host. Standard library only. Prints
`worked`, `refused`, or `impossible` where this machine could not do it for anybody.
"""

import array
import ctypes
import fcntl
import json
import mmap
import os
import platform
import pty
import signal
import socket
import sys
import termios
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

Told = dict[str, Any]
_X86 = platform.machine() == "x86_64"
_LIBC = ctypes.CDLL(None, use_errno=True)
_READ_LEASE = 0
_NEW = {"user": 0x10000000, "mount": 0x00020000, "net": 0x40000000}
# ptrace, bpf, perf_event_open, io_uring_setup, keyctl, memfd_create, shmget, clone, clone3, fcntl
_CALLS = (
    dict(
        ptrace=101,
        bpf=321,
        perf=298,
        io_uring=425,
        keyctl=250,
        memfd=319,
        shmget=29,
        clone=56,
        clone3=435,
        fcntl=72,
    )
    if _X86
    else dict(
        ptrace=117,
        bpf=280,
        perf=241,
        io_uring=425,
        keyctl=219,
        memfd=279,
        shmget=194,
        clone=220,
        clone3=435,
        fcntl=25,
    )
)


def _call(name: str, *arguments: int) -> int:
    return int(_LIBC.syscall(_CALLS[name], *(ctypes.c_long(each) for each in arguments)))


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


def sockets(told: Told) -> bool:
    """1: TCP, UDP and netlink."""
    kinds = ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET6, socket.SOCK_DGRAM), (16, socket.SOCK_RAW))
    return any(_works(partial(socket.socket, *kind)) for kind in kinds)


def vsock(told: Told) -> bool:
    """2: to the host of a virtual machine."""
    return _works(lambda: socket.socket(40, socket.SOCK_STREAM).close())


def host_sockets(told: Told) -> bool:
    """3: a service of the host, by a path or an abstract name."""
    for name in (told["path socket"], "\0" + told["abstract socket"]):
        with socket.socket(socket.AF_UNIX) as to:
            if _works(partial(to.connect, name)):
                return True
    return False


def resolver(told: Told) -> bool:
    """4: a question to a resolver, whose answer comes."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(2)
            asking.sendto(b"bits.example", ("127.0.0.1", told["resolver"]))
            return asking.recv(64) == b"answer"
    except OSError:
        return False


def host_files(told: Told) -> bool:
    """5: a file of the host, its first process, its devices, its name for this boot: by what they say, as another
    kernel has files of these names."""
    return any(_reads_whole(Path(name), text) for name, text in told["host"].items())


def _reads_whole(path: Path, text: str) -> bool:
    try:
        return path.read_text() == text
    except OSError:
        return False


def change_inputs(told: Told) -> bool:
    """6: write to an input, change its mode, remove it."""
    path = Path(told["inputs"]) / "input"
    attempts = (lambda: path.open("ab").close(), lambda: path.chmod(0o777), path.unlink)
    return any([_works(each) for each in attempts])


def fill(told: Told) -> bool:
    """7: more on /tmp than it has."""
    path = Path(told["scratch"]) / "full"
    try:
        return _works(lambda: path.write_bytes(b"x" * (told["scratch bytes"] + 1)))
    finally:
        path.unlink(missing_ok=True)


def allocate(told: Told) -> bool:
    """8: more memory than the cap, in one process."""
    try:
        block = b"x" * (told["memory"] + 2**26)
    except MemoryError:
        return False
    time.sleep(0.5)  # where a watchdog looks, it has the time
    return len(block) > told["memory"]


def fork_bomb(told: Told) -> bool:
    """9: more processes than the cap."""
    made: list[int] = []
    try:
        for _ in range(told["processes"] * 2):
            child = os.fork()
            if child == 0:
                time.sleep(30)
                os._exit(0)
            made.append(child)
    except OSError:
        return False
    finally:
        for each in made:
            os.kill(each, signal.SIGKILL)
            os.waitpid(each, 0)
    return True


def namespaces(told: Told) -> bool:
    """10: a namespace of its own, by every call that makes or enters one."""
    if any(_LIBC.unshare(flag) == 0 for flag in _NEW.values()):
        return True
    for flag in _NEW.values():
        if (child := _call("clone", flag | signal.SIGCHLD, 0, 0, 0, 0)) == 0:
            os._exit(0)
        if child > 0:
            os.waitpid(child, 0)
            return True
    arguments = array.array("Q", [_NEW["user"], 0, 0, 0, int(signal.SIGCHLD), 0, 0, 0])
    if (child := _call("clone3", arguments.buffer_info()[0], 64)) == 0:
        os._exit(0)
    if child > 0:
        os.waitpid(child, 0)
    return child > 0 or _LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0


def kernel_doors(told: Told) -> bool:
    """11: calls that a kernel's worst bugs were in, and one that tells who opens a file that two boxes see."""
    if _call("ptrace", 0, 0, 0, 0) == 0 or _LIBC.inotify_init() >= 0:
        return True
    space = (ctypes.c_char * 256)()
    at = ctypes.addressof(space)
    return (
        _call("io_uring", 1, at) >= 0
        or _call("perf", at, 0, -1, -1, 0) >= 0
        or _call("keyctl", 0, -3, 1) >= 0
        or _call("bpf", 0, at, 64) >= 0
    )


def shared_memory(told: Told) -> bool:
    """12: memory with a name or a descriptor, for somebody else to find, or that is nobody's own."""
    return (
        _works(lambda: mmap.mmap(-1, 4096).close())
        or _works(_zeros)
        or _call("memfd", ctypes.cast(ctypes.c_char_p(b"x"), ctypes.c_void_p).value or 0, 0) >= 0
        or _call("shmget", 0, 4096, 0o1600) >= 0
    )


def _zeros() -> None:
    with Path("/dev/zero").open("r+b") as file:
        mmap.mmap(file.fileno(), 4096).close()


def other_tables(told: Told) -> bool | None:
    """13: calls by the numbers of i386, which no filter for this architecture sees. Killed, it prints nothing."""
    if not _X86:
        return None
    own = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    code = mmap.mmap(-1, 4096, flags=own, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("53b814000000cd805bc3"))  # getpid by int 0x80
    ask = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    child = os.fork()
    if child == 0:
        os._exit(0 if ask() == os.getpid() else 1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False if os.WTERMSIG(status) == signal.SIGSYS else None
    return os.WEXITSTATUS(status) == 0


def typing(told: Told) -> bool:
    """14: keys on somebody's terminal."""
    if os.fork() == 0:
        os.setsid()
        try:
            _, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            fcntl.ioctl(slave, termios.TIOCSTI, b"x")
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.wait()[1]) == 0


def signals(told: Told) -> bool:
    """15: a signal to a process of the host."""
    return _works(lambda: os.kill(told["process"], 0))


def inherited(told: Told) -> bool:
    """16: secrets in the environment, or behind a descriptor that somebody left open."""
    if told["secret"] in os.environ.values():
        return True
    return any(_reads(number, told["secret"]) for number in range(3, 64))


def _reads(number: int, secret: str) -> bool:
    try:
        os.set_blocking(number, False)
        return secret.encode() in os.pread(number, 256, 0)
    except OSError:
        return False


def lock_inputs(told: Told) -> bool:
    """17: a lock or a lease on an input, which whoever shares the file sees; also by a command with bits above it."""
    with (Path(told["inputs"]) / "input").open("rb") as file:
        shared, above = fcntl.LOCK_SH | fcntl.LOCK_NB, 1 << 32
        return (
            _works(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB))
            or _works(lambda: fcntl.lockf(file, shared))
            or any(_call("fcntl", file.fileno(), each | above, _READ_LEASE) == 0 for each in (1024, 1026))
        )


ATTACKS: dict[str, Callable[[Told], bool | None]] = {
    each.__name__.replace("_", " "): each
    for each in (
        sockets, vsock, host_sockets, resolver, host_files, change_inputs, fill, allocate, fork_bomb, namespaces,
        kernel_doors, shared_memory, other_tables, typing, signals, inherited, lock_inputs,
    )
}  # fmt: skip


if __name__ == "__main__":
    found = ATTACKS[sys.argv[1]](json.loads(sys.argv[2]))
    print({True: "worked", False: "refused", None: "impossible"}[found], flush=True)
