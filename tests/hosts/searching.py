"""Looking for words where no plaintext may be: in files, and in the memory of processes."""

from collections.abc import Iterable
from pathlib import Path

_STEP = 16 * 1024 * 1024


def in_files(words: Iterable[str], folder: Path) -> list[str]:
    """The files below `folder` whose bytes or names hold one of the words, each with the word."""
    found = []
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        found += [f"{word!r} in {path}" for word in words if word.encode() in data or word in path.name]
    return found


def in_memory(words: Iterable[str], group: int) -> list[str]:
    """The processes of a group in whose readable memory one of the words stands, each with the word."""
    found, read = set(), 0
    for process in _members(group):
        with (process / "mem").open("rb", buffering=0) as memory:
            for start, stop in _regions(process):
                for at in range(start, stop, _STEP):
                    try:
                        memory.seek(at)
                        data = memory.read(min(_STEP, stop - at) + 64)  # a word may lie across two steps
                    except (OSError, ValueError):  # the kernel's own pages
                        break
                    read += len(data)
                    found |= {f"{word!r} in process {process.name}" for word in words if word.encode() in data}
    assert read, f"no memory of the group {group} was read"
    return sorted(found)


def _members(group: int) -> list[Path]:
    """`/proc/PID` of each process of the group."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        if int(fields[2]) == group:
            found.append(process)
    return found


def _regions(process: Path) -> list[tuple[int, int]]:
    """What of its memory is readable."""
    lines = (line.split() for line in (process / "maps").read_text().splitlines())
    spans = (words[0].split("-") for words in lines if words[1].startswith("r"))
    return [(int(start, 16), int(stop, 16)) for start, stop in spans]
