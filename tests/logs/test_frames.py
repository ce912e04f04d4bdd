"""Frames of a body, within bounds that are checked before they take memory."""

import tracemalloc

import pytest

from darklantern.errors import LogError
from darklantern.logs import frames
from darklantern.logs.stream import LIMITS, Frame, Kind

MANY = 500_000


def test_frames_beyond_what_the_reader_takes_are_never_made() -> None:
    body = frames.pack([Frame(Kind.BLOB, b"")] * 3 + [Frame(Kind.ENTRY, b"")]) + frames.pack(
        [Frame(Kind.ENTRY, b"")] * MANY
    )
    tracemalloc.start()
    with pytest.raises(LogError, match="at most 10 frames of kind"):
        frames.unpack(body, {Kind.ENTRY: 10})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_as_many_as_the_reader_takes_are_fine() -> None:
    some = [Frame(Kind.ENTRY, b"a")] * 10 + [Frame(Kind.BLOB, b"")] * 3
    assert frames.unpack(frames.pack(some), {Kind.ENTRY: 10}) == some


def test_p32_a_frame_over_its_limit_is_refused() -> None:
    """Also where the body is long enough to hold it."""
    for kind in (Kind.RANGE, Kind.CHECKPOINT):
        most = LIMITS[kind]
        (frame,) = frames.unpack(frames.HEAD.pack(kind, most) + bytes(most))
        assert len(frame.payload) == most
        with pytest.raises(LogError, match=f"at most {most} bytes"):
            frames.unpack(frames.HEAD.pack(kind, most + 1) + bytes(most + 1))
