"""A bundle: a sync as one file. Logs with their checkpoints, records that wait, and sealed pieces.

    for each log:   RANGE (which log, from which entry, how many)  CHECKPOINT  ENTRY …
    then, at most once:  RANGE (waiting records, how many)  ENTRY …
    then:           BLOB …

In: these parts and a device, or a file. Out: the other, one piece in memory at a time. A bundle is read to its end
and its trailer verified before any part of it comes out; whether its maker may speak is judged later, from what the
logs say. Its pieces are staged meanwhile, under their own names, by whoever can forget them again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, BinaryIO, Literal, NoReturn

import msgspec
from blake3 import blake3

from darklantern.errors import LogError
from darklantern.library.importing import Parts
from darklantern.logs import stream
from darklantern.logs.stream import Frame, Kind
from darklantern.network.merging import LogCopy
from darklantern.records.exact import Sha256, Value, decode, encode
from darklantern.sealing import Device, DevicePublic, decode_envelope, kind_of, payload_type, sign, verify

Stage = Callable[[str, bytes], None]
"""Takes a piece, and the BLAKE3 that names it, before anything of the bundle is known to hold."""


class Range(Value, frozen=True, kw_only=True):
    """Which entries follow: those of a log, or, where `log` is None, records that wait for their log's keeper."""

    v: Literal[1] = 1
    log: Sha256 | None
    start: Annotated[int, msgspec.Meta(ge=0)] = 0
    """the position of the first; whoever gets the bundle holds those before it"""
    count: Annotated[int, msgspec.Meta(ge=0)]


class Trailer(Value, frozen=True, kw_only=True):
    """What the maker of a bundle signs. It carries their key, so that damage is found before anything is known."""

    v: Literal[1] = 1
    net: Sha256
    device: DevicePublic
    digest: Sha256
    """of everything before the trailer"""


def write_bundle(
    sink: BinaryIO,
    net: str,
    device: Device,
    logs: Sequence[LogCopy],
    waiting: Sequence[bytes],
    pieces: Iterable[bytes],
) -> None:
    """A bundle made by `device`, into `sink`. Raises LogError for what no bundle can hold."""

    def signed(digest: bytes) -> bytes:
        trailer = Trailer(net=net, device=device.public, digest=digest.hex())
        return encode(sign(payload_type("bundle"), encode(trailer), [device.signing]))

    stream.write(sink, _frames(logs, waiting, pieces), signed)


def read_bundle(source: BinaryIO, net: str, stage: Stage) -> Parts:
    """The parts of a bundle of the network `net`. Raises DarkLanternError for anything else, wherever it was cut.

    `stage` has been given its pieces, whichever way this ends.
    """
    makers: list[DevicePublic] = []

    def check(digest: bytes, signature: bytes) -> None:
        envelope = decode_envelope(signature)
        if kind_of(envelope.payload_type) != "bundle":
            _refuse("a bundle's trailer", "another signed record in its place")
        trailer = decode(Trailer, envelope.payload)
        key = trailer.device.signing
        verify(envelope, {key.id: key})
        if trailer.digest != digest.hex():
            _refuse("a trailer for these bytes", "one for others")
        if trailer.net != net:
            raise LogError(
                f"expected a bundle of network {net[:8]}…, got one of {trailer.net[:8]}…",
                hint="it belongs to another library of yours, or you were given the wrong file",
            )
        makers.append(trailer.device)

    parts = _Parts(stream.read(source, check, lambda piece: stage(blake3(piece).hexdigest(), piece)))
    logs, waiting = parts.logs()
    parts.only_blobs_follow()
    return Parts(logs, waiting, makers[0])


def _frames(logs: Sequence[LogCopy], waiting: Sequence[bytes], pieces: Iterable[bytes]) -> Iterator[Frame]:
    for copy in logs:
        yield Frame(Kind.RANGE, encode(Range(log=copy.log, start=copy.start, count=len(copy.entries))))
        yield Frame(Kind.CHECKPOINT, copy.note)
        yield from (Frame(Kind.ENTRY, entry) for entry in copy.entries)
    if waiting:
        yield Frame(Kind.RANGE, encode(Range(log=None, count=len(waiting))))
        yield from (Frame(Kind.ENTRY, entry) for entry in waiting)
    yield from (Frame(Kind.BLOB, piece) for piece in pieces)


class _Parts:
    """Frames, taken in the one order that is allowed."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._next = next(frames, None)

    def logs(self) -> tuple[tuple[LogCopy, ...], tuple[bytes, ...]]:
        logs: list[LogCopy] = []
        while self._next and self._next.kind == Kind.RANGE:
            part = decode(Range, self._take(Kind.RANGE))
            if part.log is None:
                if part.start:
                    _refuse("waiting records from the first on", f"those from {part.start} on")
                return tuple(logs), self._entries(part.count)
            note = self._take(Kind.CHECKPOINT)
            logs.append(LogCopy(part.log, note, self._entries(part.count), part.start))
        return tuple(logs), ()

    def only_blobs_follow(self) -> None:
        while self._next:
            self._take(Kind.BLOB)

    def _entries(self, count: int) -> tuple[bytes, ...]:
        entries: list[bytes] = []
        while len(entries) < count:  # never allocate by a count that a peer wrote
            entries.append(self._take(Kind.ENTRY))
        return tuple(entries)

    def _take(self, kind: Kind) -> bytes:
        frame = self._next
        if frame is None or frame.kind != kind:
            _refuse(f"a {kind.name} frame", frame.kind.name if frame else "the end")
        self._next = next(self._frames, None)
        return frame.payload


def _refuse(expected: str, got: str) -> NoReturn:
    raise LogError(
        f"bundle: expected {expected}, got {got}",
        hint="nothing was imported; ask its maker for the bundle again",
    )
