"""Sealing a large file piece by piece: flat memory, and a crash costs one piece.

In: a file, its SHA-256 as the finding names it, and a vault's folders. Out: a SealedArtifact whose pieces are stored.

Sealing two plaintexts under one key and nonce would give both away, so the source may not change between two runs.
Each piece's plaintext is therefore marked in the journal, by a MAC, before any of it is sealed, and what is sealed
later must bear that mark. The key is in the journal, sealed to the device.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from blake3 import blake3

from darklantern.errors import DarkLanternError, SealError, StoreError
from darklantern.files import cannot_write
from darklantern.network.cutting import Buffer, Cutting, Span, mark
from darklantern.network.items import PIECE, SealedArtifact, bucket
from darklantern.network.secret_values import SecretValue
from darklantern.records.exact import decode, encode
from darklantern.sealing import Identity, open, seal
from darklantern.sealing.chunks import begin, resume
from darklantern.stores.blobs import Blobs
from darklantern.stores.journal import Journal, begin_journal, open_journal

Progress = Callable[[int, int], None]
"""(bytes of plaintext that are done, bytes in all), after each piece"""

_NAME: Final = "darklantern 2026 name of a sealing journal, v1"


class Begun(SecretValue, frozen=True, kw_only=True):
    """What a sealing needs to go on: sealed to the device, in the first line of its journal."""

    v: Literal[1] = 1
    sha256: str
    size: int
    seed: bytes
    start: bytes
    """header and nonce: with the seed, the file key"""


def seal_file(
    source: Path, sha256: str, *, blobs: Blobs, journals: Path, device: Identity, progress: Progress | None = None
) -> SealedArtifact:
    """The file sealed to a fresh seed, its pieces stored. An interrupted sealing of the same SHA-256 goes on.

    Going on reads the source again from its beginning (its hash cannot be saved), but seals and writes only what
    is missing. The journal stays, and gives the same again, until `forget_named`. Raises SealError when the source has
    another hash or has changed, and StoreError for what cannot be read or written.
    """
    try:
        with source.open("rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise StoreError(f"expected a regular file, got {source}", hint="write a pipe's output to a file first")
            path = _path(journals, device, sha256)
            journal = open_journal(path) or begin_journal(path, _begun(sha256, found.st_size, device))
            with closing(journal):
                begun = _decoded(journal, device, path)
                if begun.size != found.st_size:
                    raise _changed(source, f"{begun.size} bytes, got {found.st_size}")
                return _seal(file, source, begun, journal, blobs, progress or (lambda done, size: None))
    except OSError as error:
        raise StoreError(f"cannot read {source}: {error.strerror}", hint="check the path and the disk") from error


def forget_named(named: Collection[str], *, journals: Path) -> None:
    """Remove the journals whose pieces a record names: those that a crash after sharing left.

    Going on with one would put the same pieces under two items, which shows that both hold the same. Raises StoreError.
    """
    for path in sorted(journals.glob("[0-9a-f]*")):
        try:
            journal = open_journal(path)
        except StoreError:  # a damaged one is refused when its own file is sealed, and blocks no other
            continue
        if journal:
            with closing(journal):
                if any(name in named for name in journal.done.values()):
                    journal.remove()


@dataclass(frozen=True)
class Unfinished:
    """A sealing that was interrupted, or whose record was never written."""

    journal: str
    """the name of its journal: what to give up by where the file's hash is not known any more"""
    sha256: str | None
    """of the file; None where the journal is damaged"""
    size: int
    """bytes of the file, 0 where the journal is damaged"""
    pieces: tuple[str, ...]
    """that are stored already"""
    problem: str | None = None


def unfinished(journals: Path, device: Identity) -> tuple[Unfinished, ...]:
    """Every sealing that could go on, and every journal that is too damaged to."""
    found = []
    for path in sorted(journals.glob("[0-9a-f]*")):
        try:
            journal = open_journal(path)
            if journal:
                with closing(journal):
                    begun = _decoded(journal, device, path)
                    found.append(Unfinished(path.name, begun.sha256, begun.size, tuple(journal.done.values())))
        except StoreError as error:
            found.append(Unfinished(path.name, None, 0, (), error.message))
    return tuple(found)


def give_up(sha256: str, *, blobs: Blobs, journals: Path, device: Identity) -> None:
    """Remove an unfinished sealing with its pieces. The next begins anew under a fresh key. Raises StoreError.

    `sha256` is the file's hash, or the name of its journal. Call `forget_named` before, or what a record names is
    removed too.
    """
    named = {each.journal for each in unfinished(journals, device)}
    path = journals / sha256 if sha256 in named else _path(journals, device, sha256)
    try:
        journal = open_journal(path)
    except StoreError:  # damaged: which pieces were its own is lost, and they only take space
        journal = None
    if journal:
        with closing(journal):
            blobs.discard(journal.done.values())
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def _seal(
    file: BinaryIO, source: Path, begun: Begun, journal: Journal, blobs: Blobs, progress: Progress
) -> SealedArtifact:
    layout, cipher = resume(begun.start, Identity(begun.seed), bucket(begun.size))
    cutting, whole, names = Cutting(layout), hashlib.sha256(), list[str]()
    carried: Buffer = begun.start  # what the piece to come begins with
    for piece in range(cutting.pieces):
        # 1. Read what begins in this piece, once: what is marked is what is sealed.
        span = Span(cutting, piece)
        plaintext = bytearray(len(span.place))  # beyond the end of the source lies padding, which is zeros
        read = min(span.place.stop, begun.size) - min(span.place.start, begun.size)
        with memoryview(plaintext)[:read] as view:
            _read_into(view, file, source)
            whole.update(view)
        # 2. Mark it on the disk, or compare it with the mark of an earlier run.
        marked = mark(begun.seed, piece, plaintext)
        if piece not in journal.marks:
            journal.mark(piece, marked)
        elif journal.marks[piece] != marked:
            raise _changed(source, f"the {read} bytes from {span.place.start} as they were at first, got others")
        # 3. Seal it, unless it is there already. Of one that is, the next piece may want the end.
        name = journal.done.get(piece)
        if name is not None and blobs.is_whole(name):
            carried = span.overhang(cipher, plaintext)
        else:
            ciphertext = span.sealed(cipher, carried, plaintext)
            with memoryview(ciphertext)[:PIECE] as view:
                again, name = name, blake3(view).hexdigest()
                blobs.add(name, view)
            carried = bytes(ciphertext[PIECE:])
            del ciphertext  # before the next piece is read: memory
            if again is None:
                journal.finish(piece, name)
            elif again != name:
                raise _altered_journal(source)
        names.append(name)
        progress(min(span.place.stop, begun.size), begun.size)
    # 4. The marks hold this content for good, so a wrong one cannot be gone on with.
    if file.read(1) or whole.hexdigest() != begun.sha256:
        blobs.discard(names)
        journal.remove()
        raise SealError(
            f"expected {source} to have the SHA-256 {begun.sha256} that the finding names, got another",
            hint="name the file's own hash in the finding, or find the file that was meant; nothing was kept",
        )
    return SealedArtifact(sha256=begun.sha256, size=begun.size, seed=begun.seed, pieces=tuple(names))


def _read_into(view: memoryview, file: BinaryIO, source: Path) -> None:
    at = 0
    while at < len(view):
        got = os.readv(file.fileno(), [view[at:]])
        if not got:
            raise _changed(source, f"{len(view) - at} more bytes, got its end")
        at += got


def _begun(sha256: str, size: int, device: Identity) -> bytes:
    identity = Identity.generate()
    start, _ = begin([identity.recipient], bucket(size))
    begun = Begun(sha256=sha256, size=size, seed=identity.seed, start=start)
    return seal(encode(begun), [device.recipient])


def _decoded(journal: Journal, device: Identity, path: Path) -> Begun:
    try:
        return decode(Begun, open(journal.begun, [device]))
    except DarkLanternError as error:
        raise StoreError(
            f"the journal {path} is not this device's, or damaged: {error.message}",
            hint="give the sealing up, and begin it again",
        ) from error


def _path(journals: Path, device: Identity, sha256: str) -> Path:
    # The SHA-256 itself would tell whoever has the file that it is here.
    return journals / blake3(device.seed + sha256.encode(), derive_key_context=_NAME).hexdigest()


def _altered_journal(source: Path) -> StoreError:
    return StoreError(
        f"the journal names a piece of {source} that sealing it again did not give",
        hint="the journal was altered: give the sealing up, and begin it again",
    )


def _changed(source: Path, expected: str) -> SealError:
    return SealError(
        f"{source} changed while it was being sealed: expected {expected}",
        hint="put the file back as it was, or give this sealing up and share what it is now",
    )
