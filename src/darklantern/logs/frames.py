"""Frames as HTTP carries them: those of a bundle, without its magic and its trailer.

In: frames, or the bytes of a whole body. Out: the other, or LogError for bytes that are not exactly frames within
their limits. Who vouches for them is said elsewhere: by the transport, and by what each of them holds.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal

import msgspec

from darklantern.errors import LogError, refusing
from darklantern.logs.stream import LIMITS, Frame, Kind
from darklantern.records.exact import Sha256, Value

_refused = refusing(LogError, "frames", hint="the transfer was cut or altered; ask again")

HEAD: Final = struct.Struct(">BQ")


class Range(Value, frozen=True, kw_only=True):
    """Which entries of a log follow: those from position `start` on, so many."""

    v: Literal[1] = 1
    log: Sha256
    start: Annotated[int, msgspec.Meta(ge=0)]
    count: Annotated[int, msgspec.Meta(ge=0)]


def pack(frames: Iterable[Frame]) -> bytes:
    """The frames end to end."""
    return b"".join(part for kind, payload in frames for part in (HEAD.pack(kind, len(payload)), payload))


def unpack(body: bytes, most: Mapping[Kind, int] | None = None) -> list[Frame]:
    """The frames of a body: of each kind that `most` names as many as it says. Raises LogError at the first that is
    too many: a frame takes ten times the memory that its nine bytes take in a body."""
    frames, at = [], 0
    left = dict(most or {})
    while at < len(body):
        if len(body) - at < HEAD.size:
            raise _refused(f"a frame's {HEAD.size} bytes of kind and length", str(len(body) - at))
        kind, length = HEAD.unpack_from(body, at)
        if kind not in LIMITS or kind == Kind.TRAILER:
            raise _refused("a range, a checkpoint, an entry or a blob", f"kind {kind}")
        if length > LIMITS[kind]:
            raise _refused(f"at most {LIMITS[kind]} bytes in a frame of kind {kind}", str(length))
        if most and kind in left:
            left[Kind(kind)] -= 1
            if left[Kind(kind)] < 0:
                raise _refused(f"at most {most[Kind(kind)]} frames of kind {kind}", "more")
        at += HEAD.size
        if length > len(body) - at:
            raise _refused(f"{length} bytes of frame", f"the end after {len(body) - at}")
        frames.append(Frame(Kind(kind), body[at : at + length]))
        at += length
    return frames
