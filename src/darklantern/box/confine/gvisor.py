"""A program in gVisor: its calls are answered by a kernel of its own, in user space, instead of by the host's.

bubblewrap gives runsc the same view as any box, and ends it with all its processes; gVisor's kernel holds the program.
Slower by half and more where a program makes many calls, and no less of a wall where the host's kernel has a hole.
"""

import base64
import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from darklantern.box.confine import filtering
from darklantern.box.confine.bubblewrap import INPUTS, WORK, Confined, alone, environment, view
from darklantern.box.confine.filters import program

FIRST: Final = 3
"""The number of the first descriptor that is handed in; the others follow it. Two at most: runsc takes three of the
outside along, standard input, output and error, and the last is for what a program prints."""
_BUNDLE: Final = "/run/box"
_INSIDE: Final = ("exec 1>&2 0</dev/null", "exec 3>&0 1>&2 0</dev/null", "exec 3>&0 4>&1 1>&2 0</dev/null")
_FILTERED: Final = 'exec "$(command -v python || command -v python3)" -I -S -c "$0" "$@"'
_RUNSC: Final = (
    "runsc", "--root=/run/runsc", "--network=none", "--platform=ptrace", "--ignore-cgroups",
    "run", f"--bundle={_BUNDLE}", "box",
)  # fmt: skip


def command_line(given: Confined, config: int, info: int, hand: Sequence[int]) -> list[str]:
    """The whole command, which reads a line from its standard input before it begins.

    `config` is a descriptor to read `configuration` from; the box's first pid is written to `info`; `hand` are those
    that the program gets, numbered from `FIRST`.
    """
    ends = [f"{_way(each)}/proc/self/fd/{each}" for each in hand] + ["</dev/null", ">/dev/null"][len(hand) :]
    gate = f'read -r go || exit 125; exec "$@" 0{ends[0]} 1{ends[1]}'
    return [
        *alone(),
        *view(given),
        *("--proc", "/proc", "--tmpfs", "/run", "--dir", "/run/runsc", "--dir", _BUNDLE),
        *("--file", str(config), f"{_BUNDLE}/config.json", "--info-fd", str(info), "--"),
        *("/bin/sh", "-c", gate, "sh", *_RUNSC),
    ]


def configuration(given: Confined, command: Sequence[str], handed: int) -> bytes:
    """What runsc is told, as the OCI's runtime specification has it: command, user, files, limits."""
    return json.dumps(
        {
            "ociVersion": "1.0.2",
            "hostname": "box",
            "root": {"path": "/", "readonly": True},
            "process": {
                "user": {"uid": given.user, "gid": given.user},
                "args": ["/bin/sh", "-c", f"{_INSIDE[handed]}; {_FILTERED}", _filtering(), _filter(), *command],
                "env": [f"{name}={value}" for name, value in environment(given).items()],
                "cwd": WORK,
                "noNewPrivileges": True,
                "capabilities": {},
                "rlimits": [{"type": f"RLIMIT_{name}", "soft": most, "hard": most} for name, most in _limits(given)],
            },
            "mounts": [
                _bound(INPUTS, "ro"),
                _scratch(WORK, given.allowed.disk) if given.work is None else _bound(WORK, "rw"),
                _scratch("/tmp", given.allowed.scratch),
                _scratch("/dev/shm", given.allowed.scratch),
                _scratch("/run", 4096),
                _bound("/dev/zero", "ro"),  # bubblewrap's, which is /dev/null
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            },
        }
    ).encode()


def _limits(given: Confined) -> list[tuple[str, int]]:
    allowed = given.allowed
    return [
        ("DATA", allowed.memory),
        ("CPU", allowed.cpu_s),
        ("FSIZE", allowed.disk),
        ("NPROC", allowed.processes),
        ("CORE", 0),
        ("NOFILE", 4096),
        ("MEMLOCK", 65536),
    ]


def _bound(where: str, how: str) -> dict[str, Any]:
    return {"destination": where, "type": "bind", "source": where, "options": ["bind", how]}


def _scratch(where: str, size: int) -> dict[str, Any]:
    options = ["mode=1777", f"size={size}", "nosuid", "nodev"]
    return {"destination": where, "type": "tmpfs", "source": "tmpfs", "options": options}


def _filtering() -> str:
    return Path(filtering.__file__).read_text()


def _filter() -> str:
    return base64.b64encode(program()).decode()


def _way(descriptor: int) -> str:
    """A pipe's end is opened anew by its number in /proc: the shell knows numbers of one digit, and runsc takes two of
    one description for not to be waited on.
    """
    return "<" if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY else ">"
