"""The framing of a sync: whole and signed, or nothing comes out."""

import hashlib
import hmac
import io
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.errors import LogError, SignatureError
from darklantern.logs import stream
from darklantern.logs.stream import LIMITS, MAGIC, Frame, Kind

CONTENT = [kind for kind in Kind if kind != Kind.TRAILER]
KEY = b"the relay's key, for this test"


def sign(digest: bytes) -> bytes:
    return hmac.digest(KEY, digest, "sha256")


def verify(digest: bytes, signature: bytes) -> None:
    if not hmac.compare_digest(sign(digest), signature):
        raise SignatureError("expected the relay's signature, got another", hint="copy the bundle again")


def written(*frames: Frame) -> bytes:
    sink = io.BytesIO()
    stream.write(sink, frames, sign)
    return sink.getvalue()


FRAMES = [
    Frame(Kind.RANGE, b'{"log":"evals"}'),
    Frame(Kind.CHECKPOINT, b"note"),
    Frame(Kind.ENTRY, b"{}" * 40),
    Frame(Kind.BLOB, bytes(100)),
]
DATA = written(*FRAMES)


@given(st.lists(st.builds(Frame, st.sampled_from(CONTENT), st.binary(max_size=300)), max_size=8))
@settings(deadline=None)
def test_round_trip(frames: list[Frame]) -> None:
    assert list(stream.read(written(*frames), verify)) == frames


def test_the_layout_is_the_documented_one() -> None:
    body = b"darklantern stream v1\n" + b"\x04" + bytes(7) + b"\x02" + b"{}"
    digest = hashlib.sha256(body).digest()
    trailer = struct.pack(">Q", len(body)) + digest + sign(digest)
    assert written(Frame(Kind.ENTRY, b"{}")) == body + b"\xff" + struct.pack(">Q", len(trailer)) + trailer


def test_a_stream_starts_where_its_source_stands() -> None:
    source = io.BytesIO(b"before" + DATA)
    source.seek(6)
    assert list(stream.read(source, verify)) == FRAMES


class Trickle(io.BytesIO):
    """A source that returns a few bytes at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, 7))


def test_short_reads_are_no_truncation() -> None:
    assert list(stream.read(Trickle(DATA), verify)) == FRAMES


def test_every_truncation_is_refused() -> None:
    for size in range(len(DATA)):
        with pytest.raises((LogError, SignatureError)) as caught:
            stream.read(DATA[:size], verify)
        assert caught.value.hint


def test_p15_every_flipped_bit_is_refused() -> None:
    for bit in range(len(DATA) * 8):
        damaged = bytearray(DATA)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((LogError, SignatureError)):
            stream.read(bytes(damaged), verify)


def frame(kind: int, payload: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BQ", kind, len(payload) if length is None else length) + payload


def ended(body: bytes, *, length: int | None = None, digest: bytes | None = None) -> bytes:
    """`body` with a trailer, signed for whatever digest it states."""
    digest = hashlib.sha256(body).digest() if digest is None else digest
    return body + frame(255, struct.pack(">Q", len(body) if length is None else length) + digest + sign(digest))


REFUSED = {
    "empty": (b"", "more bytes, got the end"),
    "another file": (b"PK\x03\x04" + DATA, "begins with"),
    "next version": (DATA.replace(b"stream v1", b"stream v2"), "begins with"),
    "trailing byte": (DATA + b"\x00", "the end of the stream after its trailer"),
    "two streams": (DATA + DATA, "the end of the stream after its trailer"),
    "no trailer": (MAGIC + frame(Kind.ENTRY, b"{}"), "more bytes, got the end"),
    "kind 0": (ended(MAGIC + frame(0, b"")), "kind 0"),
    "a kind that is not used": (ended(MAGIC + frame(3, b"")), "kind 3"),
    "unknown kind": (ended(MAGIC + frame(6, b"")), "kind 6"),
    "wrong length": (ended(MAGIC + frame(Kind.ENTRY, b"{}"), length=3), "expected 3 bytes"),
    "wrong digest": (ended(MAGIC + frame(Kind.ENTRY, b"{}"), digest=bytes(32)), "with SHA-256 0000"),
    "short trailer": (MAGIC + frame(Kind.TRAILER, bytes(39)), "a trailer of at least 40 bytes, got 39"),
    "a length that would exhaust memory": (MAGIC + frame(Kind.BLOB, b"", length=2**63), f"at most {4 << 20} bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(LogError, match=message) as caught:
        stream.read(data, verify)
    assert "copy it again" in caught.value.hint


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_has_a_limit_that_reader_and_writer_keep(kind: Kind) -> None:
    over = LIMITS[kind] + 1
    with pytest.raises(LogError, match=f"at most {LIMITS[kind]} bytes in a frame of kind {int(kind)}, got {over}"):
        stream.read(MAGIC + frame(kind, b"", length=over), verify)
    if kind == Kind.TRAILER:
        with pytest.raises(LogError, match="kind 255"):
            stream.write(io.BytesIO(), [], lambda digest: bytes(over))
    else:
        with pytest.raises(LogError, match=f"kind {int(kind)}"):
            written(Frame(kind, bytes(over)))
        assert [len(f.payload) for f in stream.read(written(Frame(kind, bytes(over - 1))), verify)] == [over - 1]


def test_the_writer_refuses_a_trailer_among_frames() -> None:
    with pytest.raises(LogError, match="no trailer among them"):
        written(Frame(Kind.TRAILER, b""))


def test_the_number_of_frames_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    five = written(*[Frame(Kind.ENTRY, b"")] * 5)
    monkeypatch.setattr(stream, "MAX_FRAMES", 5)
    assert len(list(stream.read(five, verify))) == 5
    with pytest.raises(LogError, match="at most 5 frames"):
        written(*[Frame(Kind.ENTRY, b"")] * 6)
    monkeypatch.setattr(stream, "MAX_FRAMES", 4)
    with pytest.raises(LogError, match="at most 4 frames"):
        stream.read(five, verify)


def test_the_checks_are_done_before_a_frame_is_asked_for() -> None:
    asked: list[bytes] = []

    def refuse(digest: bytes, signature: bytes) -> None:
        asked.append(signature)
        raise SignatureError("expected a known relay, got another", hint="check its key")

    with pytest.raises(SignatureError, match="known relay"):
        stream.read(DATA, refuse)
    assert asked == [sign(hashlib.sha256(DATA[: -(9 + 40 + 32)]).digest())]


class TwoFaced(io.BytesIO):
    """A medium that answers one way when it is checked and another way when it is read."""

    def __init__(self, first: bytes, second: bytes) -> None:
        super().__init__(first)
        self.second = second

    def seek(self, offset: int, whence: int = 0) -> int:
        super().__init__(self.second)
        return super().seek(offset, whence)


@pytest.mark.parametrize(
    ("change", "whole"),
    [
        (lambda d: d.replace(b"note", b"nope"), 1),
        (lambda d: written(FRAMES[1], *FRAMES[1:]), 0),
        (lambda d: d[: d.index(b"note")], 1),
    ],
    ids=["another payload", "another valid stream", "cut"],
)
def test_p15_what_was_not_checked_does_not_come_out(change: Callable[[bytes], bytes], whole: int) -> None:
    frames = stream.read(TwoFaced(DATA, change(DATA)), verify)
    for expected in FRAMES[:whole]:
        assert next(frames) == expected
    with pytest.raises(LogError, match=r"the bytes that were checked|the end of the stream"):
        next(frames)
