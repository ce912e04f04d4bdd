"""A whole vault into one stream and back, while its library goes on.

In: an open vault, or a stream and a folder that does not exist. Out: the other. The copy is as encrypted as the vault
and opens with the same passphrase, or with one of its own. What is unfinished stays out: a journal older than its
pieces could be made to seal two files under one key.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from darklantern.errors import StoreError
from darklantern.files import cannot_write, partial_of
from darklantern.records.exact import decode, encode
from darklantern.stores.archive import BLOBS, DATABASE, HEADER, Member, pack, piece_path, unpack
from darklantern.stores.blobs import Blobs
from darklantern.stores.passphrase import VaultHeader, new_header
from darklantern.stores.vault import Vault

_CHUNK: Final = 1024 * 1024


def pack_vault(
    vault: Vault, names: Iterable[str], settings: Mapping[str, str], passphrase: str | None = None
) -> Iterator[bytes]:
    """The database as of now with these settings besides, and the named pieces. Raises StoreError, also half-way.

    With a `passphrase` the copy opens by that one, and not by the vault's. Where the vault's is only in this machine's
    keystore, it needs one: else the copy would be lost with the machine.
    """
    copy = partial_of(vault.folder / DATABASE)
    try:
        header, key = (vault.folder / HEADER).read_bytes(), None
        held = decode(VaultHeader, header)
        if passphrase is not None:
            made, key = new_header(passphrase, held.cost)
            header = encode(made)
        elif held.keystore is not None:
            raise StoreError(
                "the passphrase of this library is only in this machine's keystore: a backup would be lost with it",
                hint="give the backup a passphrase of its own: --own-passphrase-file, in Python passphrase=",
            )
        vault.database.copy(copy, settings, key)
        with copy.open("rb") as database:
            yield from pack(_members(vault, header, database, copy.stat().st_size, names))
    except OSError as error:
        raise StoreError(f"cannot read {vault.folder}: {error.strerror}", hint="check the disk") from error
    finally:
        copy.unlink(missing_ok=True)


def unpack_vault(source: BinaryIO, folder: Path) -> None:
    """A stream's vault in `folder`, each piece compared with its name. Raises StoreError.

    It leaves what it wrote where it fails: `folder` is to be one that nobody takes for a vault.
    """
    found = list[str]()
    try:
        folder.mkdir(mode=0o700)
        (folder / BLOBS).mkdir(mode=0o700)
        blobs = Blobs(folder / BLOBS)
        for member in unpack(source):
            if member.piece:
                blobs.add(member.piece, b"".join(member.chunks))
            else:
                found.append(member.name)
                _write(folder / member.name, member.chunks)
    except OSError as error:
        raise cannot_write(folder, error) from error
    if found != [HEADER, DATABASE]:
        raise StoreError(
            f"backup: expected a header and a database, got {', '.join(found) or 'neither'}",
            hint="the file is cut or altered; nothing was restored from it",
        )


def _members(vault: Vault, header: bytes, database: BinaryIO, size: int, names: Iterable[str]) -> Iterator[Member]:
    yield Member(HEADER, len(header), (header,))
    yield Member(DATABASE, size, iter(lambda: database.read(_CHUNK), b""))
    for name in names:
        data = vault.blobs.get(name)
        if data is None:
            raise StoreError(f"the piece {name} went while the backup was made", hint="make the backup again")
        yield Member(piece_path(name), len(data), (data,))


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
