"""What a run writes to, /box/work: counted, kept sealed, removed. Whatever lies in it was made by what nobody trusts.

No link is followed, nothing is believed to be short, readable or not too deep, and what is kept has one size.
"""

import os
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Final

from darklantern.box.sealed import TooLarge, seal_folder
from darklantern.errors import BoxError
from darklantern.sealing import Recipient

DEEPEST: Final = 64
"""folders within folders: more are more files than are allowed, however many are"""
LONGEST: Final = 1024
"""bytes of a path in the folder: the same holds beyond"""
_EACH: Final = 4096
"""bytes that an archive needs for a file beside its contents, with two names of `LONGEST`"""
_BESIDE: Final = 2**16
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def passable(folder: Path) -> Path:
    """A new folder that another user may look into, whatever the umask."""
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def amount(folder: Path, most_files: int) -> tuple[int, int]:
    """(bytes, files) under a folder that a box writes to; it stops counting at one file too many.

    What may not be looked into counts as too many.
    """
    return _amount(os.open(folder, _OPEN), most_files, 0, 0)


def keep(folder: Path, disk: int, files: int, sealed: Path, to: Recipient) -> None:
    """Seal a folder, in a file whose size follows from its limits alone. One that passed them is kept empty.

    Raises StoreError, and BoxError where the folder cannot be read.
    """
    room = disk + files * _EACH + _BESIDE
    _ours("chmod", "-R", "u+rwX", folder)
    size, count = amount(folder, files)
    if size > disk or count > files:
        _emptied(folder)
    try:
        seal_folder(folder, sealed, to, room)
    except (TooLarge, OSError, tarfile.TarError):  # whatever it is, it tells nothing by failing
        _emptied(folder)
        seal_folder(folder, sealed, to, room)


def remove(*folders: Path) -> None:
    """Remove folders, with all that is in them, however deep."""
    for each in folders:
        if each.exists():
            _ours("chmod", "-R", "u+rwX", each)
            _ours("rm", "-rf", each)


def _amount(opened: int, most: int, depth: int, before: int) -> tuple[int, int]:
    size = count = 0
    try:
        with os.scandir(opened) as entries:
            for entry in entries:
                count += 1
                path = before + len(os.fsencode(entry.name)) + 1
                try:
                    status = entry.stat(follow_symlinks=False)
                    # Its length, not its blocks: what has holes is small here and large in a copy.
                    size += status.st_size if stat.S_ISREG(status.st_mode) else 0
                    if count <= most and depth < DEEPEST and path <= LONGEST and stat.S_ISDIR(status.st_mode):
                        inner = _amount(os.open(entry.name, _OPEN, dir_fd=opened), most - count, depth + 1, path)
                        size, count = size + inner[0], count + inner[1]
                except (FileNotFoundError, NotADirectoryError):
                    continue  # it went away meanwhile
                except (OSError, ValueError):
                    return size, most + 1
                if count > most or path > LONGEST or (depth == DEEPEST and stat.S_ISDIR(status.st_mode)):
                    return size, most + 1
    finally:
        os.close(opened)
    return size, count


def _emptied(folder: Path) -> None:
    remove(folder)
    passable(folder)


def _ours(*words: str | Path) -> None:
    """One of the system's own tools, which no depth of folders ends."""
    done = subprocess.run([*words[:-1], "--", words[-1]], capture_output=True, check=False)
    if done.returncode != 0:  # what it says may be a box's words
        raise BoxError(f"cannot put away {words[-1]}", hint="remove it by hand, and do not look into it")
