"""A folder of sealed pieces, each named by its BLAKE3.

In: pieces of ciphertext under their names. Out: the same, verified at each reading. A piece is there
whole or not at all; it never holds plaintext, and its name says nothing about what it belongs to.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from blake3 import blake3

from darklantern.errors import StoreError
from darklantern.files import PARTIAL, cannot_write, sync_folder, write_unsynced
from darklantern.stores.checking import check

_NAME: Final = re.compile(r"[0-9a-f]{64}")


class Written:
    """Pieces that were just stored: they go again at the end of the `with`, unless they are to be kept by then."""

    def __init__(self, take_back: Callable[[], None] = lambda: None) -> None:
        self._take_back = take_back
        self._kept = False

    def keep(self) -> None:
        """They stay, whatever comes."""
        self._kept = True

    def __enter__(self) -> "Written":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._kept:
            self._take_back()


class Blobs:
    """Pieces in `folder`, spread over 256 subfolders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, name: str) -> bool:
        return self._path(name).is_file()

    def __iter__(self) -> Iterator[str]:
        """The names of all pieces, sorted."""
        names = list[str]()
        for folder in self._folder.glob("??"):
            with os.scandir(folder) as files:  # of 100,000, several times as fast as a glob
                names += [file.name for file in files if _NAME.fullmatch(file.name)]
        return iter(sorted(names))

    def get(self, name: str) -> bytes | None:
        """The piece of that name, or None when it is not here. Raises StoreError for a damaged one."""
        try:
            data = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read piece {name}: {error.strerror}", hint="check the disk") from error
        if blake3(data).hexdigest() != name:
            raise StoreError(
                f"the piece {name} is damaged on disk",
                hint="import a bundle that carries it again, and check the disk",
            )
        return data

    def put(self, pieces: Mapping[str, bytes]) -> Written:
        """Store `pieces`, all of them or none. Raises StoreError.

        Pieces and the records that name them are written together: pieces first, since a record without its piece is
        a loss, and a piece without its record only a little space.
        """
        written: list[Path] = []

        def take_back() -> None:
            for path in written:
                path.unlink(missing_ok=True)

        try:
            for name, data in pieces.items():
                if blake3(data).hexdigest() != name:
                    raise StoreError(f"the piece {name} has other bytes than its name says", hint="ask for it again")
                if not self.is_whole(name):  # a damaged copy is replaced
                    written.append(self._write(name, data))
            self._sync(written)
        except BaseException:
            take_back()
            raise
        return Written(take_back)

    def add(self, name: str, data: bytes | memoryview) -> None:
        """Store one piece, which is on the disk when this returns. Raises StoreError.

        For pieces of what is too large for one `put`. Whoever calls it keeps a journal, and
        discards what nothing will name.
        """
        if blake3(data).hexdigest() != name:
            raise StoreError(f"the piece {name} has other bytes than its name says", hint="ask for it again")
        if not self.is_whole(name):
            self._sync([self._write(name, data)])

    def adopt(self, name: str, path: Path) -> None:
        """Take over the file `path`, synced and known to hold the bytes of `name`. Raises StoreError.

        The name survives a power cut only after `settle`: for many pieces in one sync.
        """
        target = self._path(name)
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.replace(target)
        except OSError as error:
            raise cannot_write(target, error) from error

    def settle(self, names: Iterable[str]) -> None:
        """Make the names of these pieces survive a power cut. Raises StoreError."""
        self._sync([self._path(name) for name in names])

    def discard(self, names: Iterable[str]) -> None:
        """Remove pieces that no record names. Raises StoreError."""
        for name in names:
            path = self._path(name)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise cannot_write(path, error) from error

    def damaged(self) -> tuple[str, ...]:
        """The names of pieces whose bytes are no longer theirs. Reads everything."""
        names = list(self)
        return tuple(name for name, problem in zip(names, self.check(names), strict=True) if problem)

    def check(self, names: Iterable[str]) -> Iterator[str | None]:
        """For each name in order: None where the piece is whole, else what is wrong, as the end of a sentence."""
        return check((self._path(name), name) for name in names)

    def size(self, name: str) -> int:
        """Bytes of a piece on the disk; 0 when it is not here."""
        try:
            return self._path(name).stat().st_size
        except OSError:
            return 0

    def sweep(self) -> None:
        """Remove what a crash left half-written."""
        for path in self._folder.glob(f"??/.*{PARTIAL}"):
            path.unlink(missing_ok=True)

    def is_whole(self, name: str) -> bool:
        """Whether the piece is here and undamaged."""
        with suppress(StoreError):
            return self.get(name) is not None
        return False

    def _write(self, name: str, data: bytes | memoryview) -> Path:
        path = self._path(name)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path.parent, error) from error
        write_unsynced(path, data)
        return path

    def _sync(self, written: list[Path]) -> None:
        """One sync for each folder, not for each piece: half of the time of an import."""
        folders = {path.parent for path in written}
        try:
            for folder in (*folders, *([self._folder] if folders else [])):
                sync_folder(folder)
        except OSError as error:
            raise cannot_write(self._folder, error) from error

    def _path(self, name: str) -> Path:
        # Names come from peers: anything but a hash could point outside the folder.
        if not _NAME.fullmatch(name):
            raise StoreError(f"expected the BLAKE3 of a piece, got {name!r}", hint="its author must write it again")
        return self._folder / name[:2] / name


def pick(blobs: Blobs, names: Iterable[str]) -> dict[str, bytes]:
    """Those of the named pieces that are here and whole."""
    found: dict[str, bytes] = {}
    for name in names:
        with suppress(StoreError):
            if (data := blobs.get(name)) is not None:
                found[name] = data
    return found
