"""Sealed as it is written, opened at any place: the same files as `age.seal` makes and `age.open` opens."""

import io
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.errors import SealError
from darklantern.sealing import Identity, open, seal
from darklantern.sealing.payload import CHUNK
from darklantern.sealing.streams import MAGIC, Sealing, Unsealed

KEY: Final = Identity.generate()
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 17]


def sealed(*writes: bytes) -> bytes:
    sink = io.BytesIO()
    stream = Sealing(sink, [KEY.recipient])
    for data in writes:
        assert stream.write(data) == len(data)
    stream.finish()
    return sink.getvalue()


@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_file_that_seal_would_make(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    assert sealed(data).startswith(MAGIC)
    assert open(sealed(data), [KEY]) == data
    assert open(sealed(*(data[at : at + 1000] for at in range(0, size, 1000))), [KEY]) == data
    assert io.BufferedReader(Unsealed(io.BytesIO(seal(data, [KEY.recipient])), KEY)).read() == data


@settings(max_examples=50, deadline=None)
@given(size=st.sampled_from(SIZES), reads=st.lists(st.tuples(st.integers(0, 4 * CHUNK), st.integers(0, 2 * CHUNK))))
def test_any_place_reads_as_in_the_plaintext(size: int, reads: list[tuple[int, int]]) -> None:
    data = bytes(n % 251 for n in range(size))
    stream, plain = io.BufferedReader(Unsealed(io.BytesIO(seal(data, [KEY.recipient])), KEY)), io.BytesIO(data)
    for place, count in reads:
        assert stream.seek(place) == plain.seek(place)
        assert stream.read(count) == plain.read(count)


@pytest.mark.parametrize("size", [1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_p15_a_file_that_is_cut_or_altered_anywhere_is_refused_where_it_is_read(size: int) -> None:
    whole = sealed(b"x" * size)
    start = len(whole) - size - 16 * -(-size // CHUNK)
    for cut in {start - 20, start - 1, start, start + 1, len(whole) - 17, len(whole) - 1, start + CHUNK + 16} - {
        len(whole)
    }:
        if cut < len(whole):
            with pytest.raises(SealError):
                io.BufferedReader(Unsealed(io.BytesIO(whole[:cut]), KEY)).read()
    mac = whole.index(b"\n--- ") + 5
    for place in (0, 30, *range(mac, mac + 43), start - 1, start, len(whole) - 1):
        altered = bytearray(whole)
        altered[place] ^= 1
        with pytest.raises(SealError):
            io.BufferedReader(Unsealed(io.BytesIO(bytes(altered)), KEY)).read()
    with pytest.raises(SealError):
        Unsealed(io.BytesIO(whole), Identity.generate())
