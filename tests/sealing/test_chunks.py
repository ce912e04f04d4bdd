"""Chunks by index are the chunks of one age file, and say when they are not."""

import os
import pickle
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.errors import SealError
from darklantern.sealing import Identity, age, header
from darklantern.sealing.chunks import Layout, begin, resume
from darklantern.sealing.payload import CHUNK

ALICE = Identity(bytes(range(32)))
EVE = Identity(bytes(range(32, 64)))
SIZES = st.builds(lambda n, d: max(0, n * CHUNK + d), st.integers(0, 3), st.integers(-2, 2))


@given(SIZES, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=20)
def test_chunks_sealed_in_any_order_make_one_age_file(size: int, chance: object) -> None:
    plaintext = os.urandom(size)
    start, first = begin([ALICE.recipient], size)
    layout, again = resume(start, ALICE, size)
    order = list(range(layout.chunks))
    chance.shuffle(order)  # type: ignore[attr-defined]
    file = bytearray(start.ljust(layout.ciphertext, b"\0"))
    for index in order:
        chunk = plaintext[index * CHUNK : (index + 1) * CHUNK]
        place = layout.sealed_range(index)
        file[place.start : place.stop] = sealed = first.seal(index, chunk)
        assert again.seal(index, chunk) == sealed and again.open(index, sealed) == chunk
    assert age.open(bytes(file), [ALICE]) == plaintext


@given(SIZES, st.integers(1, 4000))
def test_a_layout_counts_without_gap_or_overlap(size: int, start: int) -> None:
    layout = Layout(start, size)
    ends = [layout.sealed_range(index) for index in range(layout.chunks)]
    assert ends[0].start == start and ends[-1].stop == layout.ciphertext
    assert all(one.stop == two.start for one, two in pairwise(ends))
    for index, place in enumerate(ends):
        assert layout.first_chunk_at(place.start) == index
        assert layout.first_chunk_at(place.start + 1) == index + 1


def test_a_chunk_at_another_index_or_as_the_last_is_refused() -> None:
    start, cipher = begin([ALICE.recipient], 3 * CHUNK)
    sealed = [cipher.seal(index, bytes(CHUNK)) for index in range(3)]
    for index, other in ((0, 1), (1, 2), (2, 1)):
        with pytest.raises(SealError, match=f"chunk {index} to verify"):
            cipher.open(index, sealed[other])
    _, shorter = resume(start, ALICE, 2 * CHUNK)  # as if the file ended with a chunk that is not the last
    with pytest.raises(SealError, match="last chunk 1 to verify"):
        shorter.open(1, sealed[1])


def test_a_beginning_that_does_not_open_is_refused() -> None:
    start, _ = begin([ALICE.recipient], 10)
    with pytest.raises(SealError, match="none of the 1"):
        resume(start, EVE, 10)
    for cut in (0, 30, len(start) - 17):
        with pytest.raises(SealError, match="age header"):
            resume(start[:cut], ALICE, 10)
    with pytest.raises(SealError, match="longer header"):
        resume(start[:-1], ALICE, 10)
    with pytest.raises(SealError, match="at least one recipient"):
        begin([], 10)
    grease = header.Stanza(("grease",), b"")
    key = bytes(16)
    mixed = header.write([grease, ALICE.recipient.wrap(key)], key) + bytes(16)
    assert resume(mixed, ALICE, 10)[0].start == len(mixed)


def test_a_cipher_neither_shows_nor_leaves_by_accident() -> None:
    _, cipher = begin([ALICE.recipient], 10)
    assert "secret not shown" in repr(cipher)
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(cipher)
