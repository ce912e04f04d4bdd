"""The C2SP CCTV vectors for age: every file in `cctv/` has the outcome that it names."""

import hashlib
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from darklantern.errors import SealError
from darklantern.sealing import Identity, age, header, payload

FOLDER = Path(__file__).parent / "cctv"

MESSAGE = {
    "header failure": "^age header:",
    "HMAC failure": "header MAC",
    "no match": "none of the 1 given identities",
    "payload failure": "^age payload:",
}

MIXED = {"hybrid_and_x25519": "header failure", "hybrid_uppercase": "header failure"}
"""Elsewhere the other stanza is ignored. Here a file key that may be wrapped in another way too is refused at once."""

RELEASES_LESS = {
    "stream_no_final_full": 0,
    "stream_no_final_two_chunks_full": payload.CHUNK,
    "stream_trailing_garbage_long": 0,
    "stream_trailing_garbage_short": 0,
    "stream_two_final_chunks": 0,
    "stream_two_final_chunks_full": 0,
    "stream_two_final_chunks_second": payload.CHUNK,
}
"""Vector → bytes released. Here the chunk at the end of the file must be the final one, and no other may be, or it
is not released; other readers release such a chunk and fail after it."""


@dataclass(frozen=True)
class Vector:
    expect: str
    payload: str | None
    file_key: bytes
    identities: list[Identity]
    data: bytes


def load(name: str) -> Vector:
    text, _, data = (FOLDER / name).read_bytes().partition(b"\n\n")
    pairs = [line.split(": ", 1) for line in text.decode().splitlines()]
    fields = dict(pairs)
    hybrid = [value for key, value in pairs if key == "identity" and value.startswith("AGE-SECRET-KEY-PQ-1")]
    return Vector(
        fields["expect"],
        fields.get("payload"),
        bytes.fromhex(fields["file key"]),
        [Identity.parse(text) for text in hybrid],
        zlib.decompress(data) if fields.get("compressed") == "zlib" else data,
    )


NAMES = sorted(path.name for path in FOLDER.iterdir() if path.suffix != ".md" and not path.name.startswith("."))
HYBRID = [name for name in NAMES if name.startswith("hybrid")]
LAYERS = [name for name in NAMES if not name.startswith("hybrid")]


def test_p19_all_vectors_are_here() -> None:
    assert (len(HYBRID), len(LAYERS)) == (18, 53)


@pytest.mark.parametrize("name", HYBRID)
def test_p19_each_hybrid_vector_is_opened_or_refused_as_it_says(name: str) -> None:
    vector = load(name)
    expect = MIXED.get(name, vector.expect)
    if expect == "success":
        assert hashlib.sha256(age.open(vector.data, vector.identities)).hexdigest() == vector.payload
    else:
        with pytest.raises(SealError, match=MESSAGE[expect]) as caught:
            age.open(vector.data, vector.identities)
        assert caught.value.hint


@pytest.mark.parametrize("name", LAYERS)
def test_p19_each_vector_of_header_and_payload_is_taken_or_refused_as_it_says(name: str) -> None:
    """Grammar, MAC and payload under the vector's own file key; the classical stanzas are not unwrapped."""
    vector = load(name)
    source, released = io.BytesIO(vector.data), io.BytesIO()

    def read() -> None:
        head = header.read(source)
        header.check_mac(head, vector.file_key)
        assert header.write(head.stanzas, vector.file_key) == vector.data[: source.tell()]
        for chunk in payload.decrypt(source, vector.file_key):
            released.write(chunk)

    if vector.expect == "success":
        read()
    else:
        with pytest.raises(SealError, match=MESSAGE[vector.expect]):
            read()
    if name in RELEASES_LESS:
        assert len(released.getvalue()) == RELEASES_LESS[name]
    elif vector.payload:
        assert hashlib.sha256(released.getvalue()).hexdigest() == vector.payload
    else:
        assert not released.getvalue()
