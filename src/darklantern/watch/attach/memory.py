"""How much memory this process may still take."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MEMINFO, _CGROUP, _OWN = Path("/proc/meminfo"), Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""of a control group, version 2 and 1: its limit, what it uses, and the line of `memory.stat` with the part of that
which is no more than files read lately: the kernel gives it away before it refuses anything (kernel.org, cgroup-v2)"""


def free_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP, own: Path = _OWN) -> int | None:
    """Bytes that are free on this machine, or in this process's control groups where one of them, or one around it,
    allows less; None where nothing says so."""
    found = [_of_machine(meminfo), *(_of_group(folder) for folder in _groups(cgroup, own))]
    return min((free for free in found if free is not None), default=None)


def _of_machine(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    except (OSError, ValueError, IndexError):  # macOS has no such file
        return None


def _groups(cgroup: Path, own: Path) -> Iterator[Path]:
    """Folders of the groups that this process is in, each with those around it."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except (OSError, UnicodeDecodeError):
        lines = []
    paths = {parts[1]: PurePosixPath(parts[2]) for parts in lines if len(parts) == 3}
    held = {"memory" if "memory" in names.split(",") else names: path for names, path in paths.items()}
    # Version 2 alone, version 2 beside version 1, and version 1.
    for tree, names in ((cgroup, ""), (cgroup / "unified", ""), (cgroup / "memory", "memory")):
        yield tree  # also where the path is the host's, and a container sees its own group in its place
        path = held.get(names, PurePosixPath("/"))
        if ".." not in path.parts:  # a group outside of what is mounted here
            yield from (tree.joinpath(*path.parts[1 : depth + 1]) for depth in range(1, len(path.parts)))


def _of_group(folder: Path) -> int | None:
    for limit, usage, cached in _FILES:
        try:
            most, now = (int((folder / name).read_text()) for name in (limit, usage))
        except (OSError, ValueError):  # no such group, or `max`: no limit
            continue
        return max(0, most - max(0, now - _stated(folder / "memory.stat", cached)))
    return None


def _stated(stat: Path, key: str) -> int:
    try:
        lines = (line.split() for line in stat.read_text().splitlines())
        return next((int(line[1]) for line in lines if line[0] == key), 0)
    except (OSError, ValueError, IndexError):
        return 0
