"""A library again from a backup: everything is verified, then it is there; or nothing is.

In: a backup, a folder that does not exist, the passphrase of its time, and maybe a bundle. Out: a library's folder.
What a tombstone or a cut-off took away by then, in the backup's own logs or in the bundle, is not restored.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from darklantern.errors import StoreError
from darklantern.files import cannot_write, partial_of, sync_folder
from darklantern.library.desk import Clock
from darklantern.library.library import Library
from darklantern.library.restored import Copied, read_copied
from darklantern.network.deciding import Follows
from darklantern.stores import open_vault
from darklantern.stores.copying import unpack_vault

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Unpacked:
    """A backup that has opened, and is no library yet."""

    partial: Path
    folder: Path
    """what it is to become"""
    said: Copied


def restore(
    path: Path,
    folder: Path,
    passphrase: str,
    *,
    follows: Follows,
    bundle: Path | None = None,
    clock: Clock = time.time,
    progress: Progress | None = None,
) -> Copied:
    """The library in the backup `path` as the new folder `folder`. What the backup said of itself.

    A `bundle` made since is taken in before anything is restored for good, so that what was deleted meanwhile does not
    come back. The library signs nothing in a log before it has synced with the log's keeper (`Care.restored`). Use
    it in place of the one that is lost, never beside it. Raises StoreError or what importing raises, and then there is
    no folder.
    """
    with unpacked(path, folder, passphrase) as copy:
        restore_unpacked(copy, passphrase, follows=follows, bundle=bundle, clock=clock, progress=progress)
    return copy.said


@contextmanager
def unpacked(path: Path, folder: Path, passphrase: str) -> Iterator[Unpacked]:
    """The backup in `path`, beside where it is to be restored to: whole, and opened by the passphrase once.

    So that a person can be asked about what is known to be one. Unless `restore_unpacked` makes a library of it,
    nothing of it is left. Raises StoreError.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is there already", hint="choose a new folder; a library is never overwritten")
    partial = partial_of(folder)
    try:
        source = path.open("rb")
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}", hint="expected what `darklantern library backup` wrote"
        ) from error
    try:
        try:
            with source:
                folder.parent.mkdir(parents=True, exist_ok=True)
                unpack_vault(source, partial)
        except OSError as error:
            raise cannot_write(folder, error) from error
        yield Unpacked(partial, folder, _said(partial, passphrase))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def restore_unpacked(
    copy: Unpacked,
    passphrase: str,
    *,
    follows: Follows,
    bundle: Path | None = None,
    clock: Clock = time.time,
    progress: Progress | None = None,
) -> None:
    """The rest of `restore`."""
    try:
        with Library.open(copy.partial, passphrase, follows=follows, clock=clock) as library:
            if bundle is not None:
                library.bundles.import_from(bundle)
            _check(library, copy.said, progress)
            library.care.compact(library.care.compaction(()))
        sync_folder(copy.partial)
        copy.partial.replace(copy.folder)
        sync_folder(copy.folder.parent)
    except OSError as error:
        raise cannot_write(copy.folder, error) from error


def _said(folder: Path, passphrase: str) -> Copied:
    with open_vault(folder, passphrase) as vault:
        said = read_copied(vault.database.read().settings)
    if said is None:
        raise StoreError(
            "expected a backup, got the files of a library that was in use",
            hint="restore what `Care.backup` wrote: files that were copied from under a library do not fit together",
        )
    return said


def _check(library: Library, said: Copied, progress: Progress | None) -> None:
    """Nothing is wrong but what was wrong when the backup was made."""
    new = [problem for problem in library.care.verify(progress) if problem.piece and problem.piece not in said.missing]
    if new:
        raise StoreError(
            f"the backup lacks {len(new)} of the pieces that its records name; {new[0]}",
            hint="the file is cut or altered; nothing was restored from it",
        )
