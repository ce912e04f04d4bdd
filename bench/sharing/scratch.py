"""Folders for what is measured, in memory where there is room: a disk would be measured otherwise, and everybody's."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

SEED = 5
_MEMORY = Path("/dev/shm")  # a folder of our own is made in it


@contextmanager
def scratch(room: int) -> Iterator[Path]:
    """A folder that will take `room` bytes; gone at the end. In memory it was filled once before: in a virtual machine
    a page that nobody has touched costs up to ten times as much, and whoever came first would pay for all."""
    parent = _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 2 * room else None
    with tempfile.TemporaryDirectory(prefix="darklantern-bench-", dir=parent) as made:
        folder = Path(made)
        if parent:
            _touch(folder / "touched", room)
        yield folder


def _touch(path: Path, room: int) -> None:
    block = bytes(1 << 20)
    with path.open("wb") as file:
        for _ in range(-(-room // len(block))):
            file.write(block)
    path.unlink()


def random_file(path: Path, size: int, seed: int = SEED) -> Path:
    """`size` bytes that nothing compresses, the same each time for one `seed`."""
    random, block = Random(seed), 1 << 20
    with path.open("wb") as file:
        for at in range(0, size, block):
            file.write(random.randbytes(min(block, size - at)))
    return path
