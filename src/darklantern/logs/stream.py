"""The framing of a sync: what a bundle on a USB stick is.

In: frames, or a stream of bytes. Out: the other. The trailer carries the length and SHA-256 of
everything before it and a signature, and it is verified before the first frame comes out. What the
frames mean, and who may sign, is decided elsewhere.

    "darklantern stream v1\\n"  { kind (1 byte)  length (8 bytes, big-endian)  payload }  trailer
"""

import hashlib
import io
import struct
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import BinaryIO, Final, NamedTuple

from blake3 import blake3

from darklantern.errors import LogError, refusing

_refused = refusing(
    LogError,
    "stream",
    hint="the file or the transfer is cut or altered, and nothing was taken from it; copy it again from its source",
)

MAGIC: Final = b"darklantern stream v1\n"
MAX_FRAMES: Final = 1_000_000
"""A reader keeps 32 bytes for each frame between its two passes."""

_HEAD = struct.Struct(">BQ")
_TRAILER = struct.Struct(">Q32s")
_HASH = 32


class Kind(IntEnum):
    """What a frame carries."""

    RANGE = 1
    """which entries of which log follow"""
    CHECKPOINT = 2
    """a signed note"""
    ENTRY = 4
    """an envelope"""
    BLOB = 5
    """one piece of ciphertext"""
    TRAILER = 255


LIMITS: Final[dict[int, int]] = {
    Kind.RANGE: 4 * 1024,
    Kind.CHECKPOINT: 256 * 1024,
    Kind.ENTRY: 8 * 1024 * 1024,
    Kind.BLOB: 4 * 1024 * 1024,
    Kind.TRAILER: _TRAILER.size + 16 * 1024,
}
"""Kind → the most bytes of payload. Checked before a byte of it is read, so no length can exhaust memory."""


class Frame(NamedTuple):
    """One part of a stream."""

    kind: Kind
    payload: bytes


def write(sink: BinaryIO, frames: Iterable[Frame], sign: Callable[[bytes], bytes]) -> None:
    """A whole stream into `sink`. `sign` turns the SHA-256 of all that comes before the trailer into a signature.

    Raises LogError for a frame over its limit, for too many, and for a trailer among them; what is in
    `sink` then has no trailer and no reader takes it.
    """
    digest, length = hashlib.sha256(), 0

    def put(data: bytes) -> None:
        nonlocal length
        sink.write(data)
        digest.update(data)
        length += len(data)

    put(MAGIC)
    for count, (kind, payload) in enumerate(frames):
        if kind == Kind.TRAILER or count >= MAX_FRAMES:
            raise _refused(f"at most {MAX_FRAMES} frames and no trailer among them", f"frame {count} of kind {kind}")
        _check_limit(kind, len(payload))
        put(_HEAD.pack(kind, len(payload)))
        put(payload)
    total = digest.digest()
    trailer = _TRAILER.pack(length, total) + sign(total)
    _check_limit(Kind.TRAILER, len(trailer))
    sink.write(_HEAD.pack(Kind.TRAILER, len(trailer)) + trailer)


def read(
    source: bytes | BinaryIO, verify: Callable[[bytes, bytes], None], stage: Callable[[bytes], None] | None = None
) -> Iterator[Frame]:
    """The frames of a stream that is whole and that `verify` accepts. The checks are done when this returns.

    `verify(digest, signature)` raises to refuse. `source` is read twice, from where it stands: once to
    check it, once to hand frames out. The medium may answer differently the second time (a hostile
    USB stick can), so each frame is compared with what was checked before it comes out.

    With `stage`, blobs are given to it in the first reading, when nothing of the stream is known to hold: it must
    be able to forget them. They come out empty, and the second reading skips them, which spares half of the time.

    Raises LogError for anything but exactly one stream.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    start = stream.tell()
    seen = _check(stream, verify, stage)
    stream.seek(start)
    return _frames(stream, seen, skip=stage is not None)


def _check(stream: BinaryIO, verify: Callable[[bytes, bytes], None], stage: Callable[[bytes], None] | None) -> bytes:
    """The first pass: a fingerprint of each frame, end to end, once the trailer has been verified."""
    digest, length, seen = hashlib.sha256(), len(MAGIC), bytearray()
    digest.update(_read_magic(stream))
    while True:
        kind, head = _read_head(stream)
        payload = _read(stream, _length(head))
        if kind == Kind.TRAILER:
            break
        if len(seen) >= MAX_FRAMES * _HASH:
            raise _refused(f"at most {MAX_FRAMES} frames", "more")
        digest.update(head)
        digest.update(payload)
        length += len(head) + len(payload)
        if stage and kind == Kind.BLOB:
            seen += head.ljust(_HASH, b"\0")  # whatever stands here at the second reading, the first is what counts
            stage(payload)
        else:
            seen += _fingerprint(head, payload)
    if len(payload) < _TRAILER.size:
        raise _refused(f"a trailer of at least {_TRAILER.size} bytes", str(len(payload)))
    said_length, said_digest = _TRAILER.unpack_from(payload)
    if (said_length, said_digest) != (length, digest.digest()):
        raise _refused(f"{said_length} bytes with SHA-256 {said_digest.hex()}", f"{length} with {digest.hexdigest()}")
    if stream.read(1):
        raise _refused("the end of the stream after its trailer", "more bytes")
    verify(said_digest, payload[_TRAILER.size :])
    return bytes(seen)


def _frames(stream: BinaryIO, seen: bytes, *, skip: bool) -> Iterator[Frame]:
    """The second pass."""
    _read_magic(stream)
    for at in range(0, len(seen), _HASH):
        kind, head = _read_head(stream)
        if skip and kind == Kind.BLOB:
            payload, fingerprint = b"", head.ljust(_HASH, b"\0")
            stream.seek(_length(head), io.SEEK_CUR)
        else:
            payload = _read(stream, _length(head))
            fingerprint = _fingerprint(head, payload)
        if fingerprint != seen[at : at + _HASH]:
            raise _refused("the bytes that were checked", "others from a second reading")
        yield Frame(kind, payload)


def _fingerprint(head: bytes, payload: bytes) -> bytes:
    """BLAKE3, several times as fast as SHA-256: each frame is hashed three times in all."""
    return blake3(head).update(payload).digest()


def _read_magic(stream: BinaryIO) -> bytes:
    magic = _read(stream, len(MAGIC))
    if magic != MAGIC:
        raise _refused(f"a stream that begins with {MAGIC!r}", "another beginning")
    return magic


def _read_head(stream: BinaryIO) -> tuple[Kind, bytes]:
    head = _read(stream, _HEAD.size)
    kind, length = _HEAD.unpack(head)
    _check_limit(kind, length)
    return Kind(kind), head


def _length(head: bytes) -> int:
    length: int = _HEAD.unpack(head)[1]
    return length


def _check_limit(kind: int, length: int) -> None:
    if kind not in LIMITS:
        raise _refused(f"a frame of kind {', '.join(str(int(known)) for known in LIMITS)}", f"kind {kind}")
    if length > LIMITS[kind]:
        raise _refused(f"at most {LIMITS[kind]} bytes in a frame of kind {kind}", str(length))


def _read(stream: BinaryIO, size: int) -> bytes:
    """Exactly `size` bytes: pipes and sockets return short reads."""
    data = stream.read(size)
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    if len(data) != size:
        raise _refused(f"{size} more bytes", f"the end of the stream after {len(data)}")
    return data
