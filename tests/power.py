"""A disk that loses power: what is left of files and names is what was synced, and when."""

import os
import stat
from pathlib import Path

import pytest


class Disk:
    """Of each file the bytes at its last sync, of each folder its names at its last. Nothing else survives."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.early: list[str] = []
        """names that were given before the bytes under them were synced: a power cut may leave such a name empty"""
        self._files: dict[int, bytes] = {}
        self._folders: dict[int, dict[str, int]] = {}
        sync, replace, link = os.fsync, os.replace, os.link

        def synced(handle: int) -> None:
            sync(handle)
            found = os.fstat(handle)
            if stat.S_ISDIR(found.st_mode):
                self._folders[found.st_ino] = {each.name: each.inode() for each in os.scandir(handle)}
            else:  # opened anew: the handle may be for writing only, and the file may have no name
                self._files[found.st_ino] = Path(f"/proc/self/fd/{handle}").read_bytes()

        def replaced(source: Path, target: Path, **folders: int) -> None:
            self._named(source, target)
            replace(source, target, **folders)

        def linked(source: Path, target: Path, **options: object) -> None:
            self._named(source, target)
            link(source, target, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "replace", replaced)
        monkeypatch.setattr(os, "link", linked)

    def left(self, path: Path) -> bytes | None:
        """What a power cut now would leave of a file; None: not its name, or none of its bytes."""
        return self._files.get(self.names(path.parent).get(path.name, -1))

    def names(self, folder: Path) -> dict[str, int]:
        """The names that it would leave in a folder, and the file behind each."""
        return self._folders.get(folder.stat().st_ino, {})

    def synced(self, path: Path) -> bytes | None:
        """The bytes that it would leave of a file whose name is there."""
        return self._files.get(path.stat().st_ino)

    def _named(self, source: Path, target: Path) -> None:
        if Path(source).is_file() and self.synced(Path(source)) != Path(source).read_bytes():
            self.early.append(Path(target).name)
