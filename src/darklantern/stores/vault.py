"""A vault: one library's folder, with the database and the pieces in it, held by one process.

    header.json   salt and cost, readable without the passphrase
    header.next   the same for a passphrase that is about to take the old one's place
    library.db    SQLCipher
    blobs/        sealed pieces
    incoming/     pieces that a relay has begun to give, and those of a bundle that is being judged
    unfinished/   journals of sealings that a crash interrupted, or that wait to be shared
    lock          held while open

In: a folder and a passphrase. Out: an open vault, or StoreError. A second opener is refused, and told
who holds it: two programs with one device's keys would fork its chain.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

from darklantern.errors import RecordError, StoreError
from darklantern.files import PARTIAL, cannot_write, partial_of, sync_folder, write_whole
from darklantern.locks import take_lock
from darklantern.records.exact import decode, encode
from darklantern.stores.archive import BLOBS, DATABASE, HEADER
from darklantern.stores.blobs import Blobs
from darklantern.stores.database import Database
from darklantern.stores.incoming import Incoming
from darklantern.stores.passphrase import Cost, VaultHeader, database_key, fitting_key, new_header
from darklantern.stores.values import Change

_NEXT: Final = "header.next"
_INCOMING: Final = "incoming"
_UNFINISHED: Final = "unfinished"
_LOCK: Final = "lock"
_MAX_HEADER: Final = 4096


class Vault:
    """An open vault. Use it in a `with` statement, or close it."""

    def __init__(self, folder: Path, database: Database, blobs: Blobs, lock: int) -> None:
        self.folder = folder
        self.database = database
        self.blobs = blobs
        self.incoming = Incoming(folder / _INCOMING)
        self.unfinished = folder / _UNFINISHED
        self._lock = lock

    def change_passphrase(self, passphrase: str, cost: Cost, keystore: str | None = None) -> None:
        """Encrypt the database anew under another passphrase and cost. Raises StoreError.

        Whenever this is interrupted, the folder opens with the old passphrase or with the new one: the new header
        is beside the old before the first page changes, and SQLite changes all pages in one transaction.
        """
        header, key = new_header(passphrase, cost, keystore)
        write_whole(self.folder / _NEXT, encode(header))
        self.database.rekey(key)
        _promote(self.folder)

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock >= 0:
            self.database.close()
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> "Vault":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def create_vault(folder: Path, passphrase: str, first: Change, cost: Cost, keystore: str | None = None) -> None:
    """A new vault in `folder`, which must not exist or be empty, with `first` written in it.

    The folder appears with all of this in it, or not at all. Raises StoreError.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is there already", hint="choose a new folder; a library is never overwritten")
    header, key = new_header(passphrase, cost, keystore)
    partial = partial_of(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir(mode=0o700)
        (partial / BLOBS).mkdir(mode=0o700)
        write_whole(partial / HEADER, encode(header))
        (partial / _LOCK).touch(mode=0o600)
        (partial / DATABASE).touch(mode=0o600)
        database = Database.create(partial / DATABASE, key)
        database.write(first)
        database.close()
        sync_folder(partial)
        partial.replace(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def open_vault(folder: Path, passphrase: str, *, wait_s: float = 0.0) -> Vault:
    """The vault in `folder`, for which it waits so long while another process holds it. Raises StoreError.

    It says which: no vault there, held by another process, a wrong passphrase, or damage.
    """
    _read_header(folder)
    lock = take_lock(folder / _LOCK, _held(folder), wait_s)
    try:
        database = _open_database(folder, passphrase)
        blobs = Blobs(folder / BLOBS)
        blobs.sweep()
        for copy in folder.glob(f".{DATABASE}.*{PARTIAL}*"):  # of a backup that was killed
            copy.unlink(missing_ok=True)
        vault = Vault(folder, database, blobs, lock)
        vault.incoming.sweep()
        return vault
    except BaseException:
        os.close(lock)
        raise


def _open_database(folder: Path, passphrase: str) -> Database:
    """The database, under the header that fits; a change of passphrase that was interrupted is finished or undone."""
    changing = (folder / _NEXT).exists()
    if changing and (key := fitting_key(passphrase, _read_header(folder, _NEXT))) is not None:
        try:
            database = Database.open(folder / DATABASE, key)
        except StoreError:  # interrupted before the first page changed, and both passphrases are the same text
            pass
        else:
            _promote(folder)
            return database
    key = database_key(passphrase, _read_header(folder))
    try:
        database = Database.open(folder / DATABASE, key)
    except StoreError as error:
        if changing:
            raise StoreError(
                f"the passphrase of the library in {folder} was being changed, and the old one no longer opens it",
                hint="use the new passphrase",
            ) from error
        raise
    (folder / _NEXT).unlink(missing_ok=True)
    return database


def _promote(folder: Path) -> None:
    try:
        (folder / _NEXT).replace(folder / HEADER)
        sync_folder(folder)
    except OSError as error:
        raise cannot_write(folder / HEADER, error) from error


def read_headers(folder: Path) -> tuple[VaultHeader, ...]:
    """What a vault says without its passphrase; two, the newer first, while a change of it is unfinished."""
    return tuple(_read_header(folder, name) for name in (_NEXT, HEADER) if name == HEADER or (folder / name).exists())


def _read_header(folder: Path, name: str = HEADER) -> VaultHeader:
    try:
        with (folder / name).open("rb") as file:
            return decode(VaultHeader, file.read(_MAX_HEADER))
    except OSError as error:
        raise StoreError(
            f"expected a library in {folder}, and its header cannot be read: {error.strerror}",
            hint="check the path: a library is a folder that holds header.json; "
            "`darklantern device new` makes a new one",
        ) from error
    except RecordError as error:
        raise StoreError(
            f"the header of the library in {folder} is damaged: {error.message}",
            hint="restore header.json from a backup: without its salt the passphrase opens nothing",
        ) from error


def _held(folder: Path) -> Callable[[str], StoreError]:
    return lambda holder: StoreError(
        f"the library in {folder} is open in another program, {holder}",
        hint="close it there first: one device writes in one place at a time. `darklantern page` holds it until Ctrl-C",
    )
