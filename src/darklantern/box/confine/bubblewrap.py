"""A program behind bubblewrap: what it may see, as a command line. Nothing is run here."""

import os
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

Rung = Literal["A", "B", "G"]
"""A: root, with a user of its own inside. B: whoever, in a user namespace. G: as A, with gVisor's kernel between"""

Kernel = Literal["host", "gvisor"]
"""that answers a box's calls"""

INPUTS: Final = "/box/inputs"
WORK: Final = "/box/work"
CPUINFO: Final = Path("/proc/cpuinfo")
_FILES: Final = 4096
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Allowed:
    """What the processes of a box may use."""

    memory: int
    scratch: int
    processes: int
    cpu_s: int
    disk: int


@dataclass(frozen=True)
class Confined:
    """What one box is given."""

    rung: Rung
    user: int
    """its own, but on rung B: limits on processes count by user"""
    inputs: Path
    work: Path | None
    """what /box/work is; None: memory, as much as `disk`"""
    allowed: Allowed
    python: tuple[Path, ...] = ()
    """folders of an interpreter and its packages"""
    environment: Mapping[str, str] = field(default_factory=dict)


def interpreter() -> tuple[Path, ...]:
    """The folders that this interpreter needs, with its packages and this one, each once, none within another, and none
    that whoever runs this may not read.
    """
    package = Path(__file__).resolve().parents[3]
    wanted = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), package}
    usr = Path("/usr")
    return tuple(
        sorted(
            each
            for each in wanted
            if not each.is_relative_to(usr)
            and os.access(each, os.R_OK | os.X_OK)
            and not any(each != other and each.is_relative_to(other) for other in wanted)
        )
    )


def command_line(given: Confined, command: Sequence[str], filter: int, cpuinfo: int, info: int) -> list[str]:
    """The whole command, which reads a line from its standard input before it begins.

    `filter` and `cpuinfo` are descriptors to read; the box's first pid is written to `info`.
    """
    return [
        *alone(),
        *(("--unshare-user", "--disable-userns") if given.rung == "B" else ()),
        *_capabilities(given.rung),
        *view(given),
        # Without it torch takes its slowest kernels, and other bits come out. All else of /proc tells of the host.
        *("--perms", "0755", "--dir", "/proc", "--perms", "0444", "--ro-bind-data", str(cpuinfo), str(CPUINFO)),
        *("--remount-ro", "/", "--remount-ro", "/dev", "--chdir", WORK),
        *(word for name, value in environment(given).items() for word in ("--setenv", name, value)),
        *("--info-fd", str(info), "--seccomp", str(filter), "--"),
        *_limits(given),
        *_other_user(given),
        *("/bin/sh", "-c", 'read -r go || exit 125; exec "$@" </dev/null', "sh", *command),
    ]


def alone() -> list[str]:
    """bubblewrap, and what a box shares with nobody: processes, network, IPC, names, a terminal, its life."""
    return [
        *("bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--die-with-parent", "--new-session", "--hostname", "box", "--clearenv"),
    ]


def view(given: Confined) -> list[str]:
    """All files that a box has, but those of /proc."""
    return [
        *_system(),
        # /dev/zero could be mapped as memory that nobody counts.
        *("--dev", "/dev", "--dev-bind", "/dev/null", "/dev/zero"),
        *_scratch("/dev/shm", given.allowed.scratch),
        *_scratch("/tmp", given.allowed.scratch),
        # After /tmp, in which an interpreter may lie.
        *(word for each in given.python for word in (*_parents(each), "--ro-bind", str(each), str(each))),
        *("--perms", "0755", "--dir", "/box", "--ro-bind", str(given.inputs), INPUTS),
        *(_scratch(WORK, given.allowed.disk) if given.work is None else ("--bind", str(given.work), WORK)),
    ]


def _capabilities(rung: Rung) -> list[str]:
    """On rung A those that setpriv needs to give up all others and its user; it keeps none."""
    kept = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP") if rung == "A" else ()
    return ["--cap-drop", "ALL", *(word for each in kept for word in ("--cap-add", each))]


def _system() -> list[str]:
    """Programs and libraries, and nothing of /etc but where the libraries lie."""
    words = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"):
        if Path(name).is_symlink():
            words += ["--symlink", str(Path(name).readlink()), name]
        elif Path(name).is_dir():
            words += ["--ro-bind", name, name]
    return [*words, "--perms", "0755", "--dir", "/etc", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]


def _parents(path: Path) -> list[str]:
    """Folders above a path that anybody may pass: bubblewrap would make them for its own user alone."""
    above = [each for each in reversed(path.parents) if each != Path("/")]
    return [word for each in above for word in ("--perms", "0755", "--dir", str(each))]


def _scratch(where: str, size: int) -> list[str]:
    return ["--perms", "1777", "--size", str(size), "--tmpfs", where]


def environment(given: Confined) -> dict[str, str]:
    """All variables that a program in a box has."""
    python = {"PYTHONPATH": str(Path(__file__).resolve().parents[3])} if given.python else {}
    first = f"{Path(sys.prefix) / 'bin'}:{_PATH}" if given.python else _PATH
    fixed = {"PATH": first, "HOME": WORK, "USER": "box", "LOGNAME": "box", "LANG": "C.UTF-8", "TMPDIR": "/tmp"}
    return {**python, **fixed, **given.environment}


def _limits(given: Confined) -> list[str]:
    """For each process; the watchdog has those of all together."""
    allowed = given.allowed
    return [
        "/usr/bin/prlimit",
        f"--nproc={allowed.processes}",
        f"--data={allowed.memory}",
        f"--cpu={allowed.cpu_s}",
        f"--fsize={allowed.disk}",
        "--core=1",  # 0 would still feed a handler behind a pipe
        f"--nofile={min(_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])}",
        "--memlock=65536",
        "--msgqueue=0",
        "--rtprio=0",
        "--",
    ]


def _other_user(given: Confined) -> list[str]:
    if given.rung == "B":
        return []
    who = str(given.user)
    return [
        *("/usr/bin/setpriv", "--reuid", who, "--regid", who, "--clear-groups"),
        *("--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs", "--"),
    ]
