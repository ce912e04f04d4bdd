"""A library out to a bundle, and a bundle in: from file to file, one piece in memory at a time.

In: a library's desk and a path. Out: a file, or a report; or an error and nothing. What a bundle holds is judged
by `importing`, like what a relay hands over.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, cast

import msgspec

from darklantern.errors import RefusedError, StoreError
from darklantern.files import replacing
from darklantern.library.bundles import read_bundle, write_bundle
from darklantern.library.desk import Desk
from darklantern.library.files import Progress, Told, unheard
from darklantern.library.importing import Imported, settle, take_in, with_pieces
from darklantern.library.keeping import with_heads
from darklantern.library.outbox import leaving, with_proof
from darklantern.library.resealing import sendable
from darklantern.library.state import State
from darklantern.network.heads import ForkedLogError
from darklantern.network.items import PIECE, Blake3
from darklantern.network.merging import LogCopy
from darklantern.records.exact import Sha256, Value
from darklantern.records.record import Seen
from darklantern.sealing import Recipient
from darklantern.sealing.streams import MAGIC, Sealing, Unsealed
from darklantern.stores.blobs import Blobs


class Holdings(Value, frozen=True, kw_only=True):
    """What a library holds, in a few lines: whoever makes a bundle for it can leave that out."""

    v: Literal[1] = 1
    net: Sha256
    logs: dict[Sha256, Seen]
    missing: Annotated[tuple[Blake3, ...], msgspec.Meta(max_length=100_000)]
    """pieces that its entries name and that it lacks"""


@dataclass(frozen=True)
class Exported:
    """What a bundle holds."""

    size: int
    """bytes of the file"""
    entries: int
    waiting: int
    pieces: int
    lacking: tuple[str, ...]
    """pieces that belong in it and are missing or damaged here"""


def holdings(state: State, blobs: Blobs) -> Holdings:
    """What to give to whoever makes the next bundle for this library."""
    return Holdings(
        net=state.view.net,
        logs={log: state.view.trail(log).seen() for log in state.view.heads},
        missing=tuple(sorted(state.wanted.keys() - set(blobs))),
    )


def export(
    desk: Desk, path: Path, since: Holdings | None, to: Sequence[Recipient], progress: Progress = unheard
) -> Exported:
    """Everything, or what `since` lacks, as the file `path`; sealed to `to`, if there are any.

    Raises RefusedError and StoreError.
    """
    state = desk.state
    if not state.view.heads:
        raise RefusedError("there is nothing to export: this library has seen no log yet", hint="import a bundle first")
    if since and since.net != state.view.net:
        raise RefusedError(
            f"these are the holdings of a library of network {since.net[:8]}…, and this is {state.view.net[:8]}…",
            hint="ask for the holdings of a library of this network",
        )
    # 1. A fresh checkpoint for each log that is kept here, and records that still fit.
    made = settle(state, with_heads(state, desk.time(), refresh=True), fetch=desk.fetch, clock=desk.time())
    waiting = sendable(made.state, desk.time())
    desk.step(leaving(made.state, (each.id for each in waiting)), made.pieces)
    state = desk.state
    # 2. What the other side lacks, read one piece at a time.
    logs = [_copy(state, log, since) for log in sorted(state.view.heads)]
    pieces = _Pieces(desk.vault.blobs, _asked(state, {copy.log: copy.start for copy in logs}, since), progress)
    with replacing(path) as file:
        sealing = Sealing(file, to) if to else None
        sink = cast(BinaryIO, sealing or file)
        write_bundle(sink, state.view.net, state.device, logs, [each.envelope for each in waiting], pieces)
        if sealing:
            sealing.finish()
        size = file.tell()
    return Exported(
        size=size,
        entries=sum(len(copy.entries) for copy in logs),
        waiting=len(waiting),
        pieces=pieces.given,
        lacking=tuple(pieces.lacking),
    )


def take(desk: Desk, path: Path, *, confirmed: bool, progress: Progress = unheard) -> Imported:
    """A bundle, whole or not at all. Raises DarkLanternError; of a forked log the proof is kept."""
    blobs = desk.vault.blobs
    with desk.vault.incoming.staged() as staged:

        def stage(name: str, piece: bytes) -> None:
            if name not in staged.names and not blobs.is_whole(name):  # a damaged copy is replaced
                staged.add(name, piece)

        try:
            with _reading(path, progress) as file:
                state = desk.state
                parts = read_bundle(_unsealed(file, state), state.view.net, stage)
                step = take_in(state, parts, fetch=desk.fetch, clock=desk.time(), confirmed=confirmed)
        except ForkedLogError as error:
            desk.step(with_proof(desk.state, error.proof), {})
            raise
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}", hint="check the path and the disk") from error
        came = sorted(step.state.wanted.keys() & staged.names)
        missing = step.state.wanted.keys() - staged.names - step.pieces.keys() - set(blobs)
        desk.step(step.state, step.pieces, came, lambda: staged.given(came, blobs))
    return with_pieces(step.imported, len(came) + len(step.pieces), missing)


def examine(desk: Desk, path: Path, *, confirmed: bool, progress: Progress = unheard) -> Imported:
    """What `take` would report of a bundle, judged in the same way. Nothing is written, not even a fork's proof."""
    came: set[str] = set()
    blobs, state = desk.vault.blobs, desk.state

    def stage(name: str, _: bytes) -> None:
        if name not in came and not blobs.is_whole(name):
            came.add(name)

    try:
        with _reading(path, progress) as file:
            parts = read_bundle(_unsealed(file, state), state.view.net, stage)
            step = take_in(state, parts, fetch=desk.fetch, clock=desk.time(), confirmed=confirmed)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", hint="check the path and the disk") from error
    missing = step.state.wanted.keys() - came - step.pieces.keys() - set(blobs)
    return with_pieces(step.imported, len(step.state.wanted.keys() & came) + len(step.pieces), missing)


@contextmanager
def _reading(path: Path, progress: Progress) -> Iterator[BinaryIO]:
    with path.open("rb", buffering=0) as file:
        yield io.BufferedReader(Told(file, progress), PIECE)


def _unsealed(file: BinaryIO, state: State) -> BinaryIO:
    """The bundle in the file, which may have been sealed to this device."""
    beginning = file.read(len(MAGIC))
    file.seek(0)
    if beginning != MAGIC:
        return file
    return io.BufferedReader(Unsealed(file, state.device.receiving), PIECE)


def _copy(state: State, log: str, since: Holdings | None) -> LogCopy:
    """A log from where the other side's ends; all of it where theirs is another, which they will then see."""
    head, trail = state.view.heads[log], state.view.trail(log)
    theirs = since.logs.get(log) if since else None
    start = min(theirs.size, trail.size) if theirs else 0
    if theirs and theirs.size <= trail.size and trail.roots[theirs.size].hex() != theirs.root:
        start = 0
    return LogCopy(log, head.note, tuple(state.entries[log][start:]), start)


def _asked(state: State, starts: dict[str, int], since: Holdings | None) -> Sequence[str]:
    """The pieces of what the other side has not read, and those that it says it lacks."""
    lacking = frozenset(since.missing) if since else frozenset[str]()
    return sorted(
        name
        for circle in state.working.circles.values()
        for entry in circle.entries.values()
        for name in (*entry.body.pieces, *entry.body.attached)
        if entry.position >= starts.get(circle.id, 0) or name in lacking
    )


class _Pieces:
    """The named pieces that are here and whole, in order, each read when its turn comes."""

    def __init__(self, blobs: Blobs, names: Sequence[str], progress: Progress) -> None:
        self._blobs = blobs
        self._progress = progress
        self._names = dict.fromkeys(names)
        self.given = 0
        self.lacking: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        for done, name in enumerate(self._names, 1):
            self._progress(done, len(self._names))
            try:
                piece = self._blobs.get(name)
            except StoreError:
                piece = None
            if piece is None:
                self.lacking.append(name)
            else:
                self.given += 1
                yield piece
