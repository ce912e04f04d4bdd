"""Pieces and chunks overlap, and nothing falls between them."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import SealError
from darklantern.network.cutting import Cutting, Span, mark, opened_cutting
from darklantern.network.items import PIECE, seal_artifact
from darklantern.sealing.chunks import Layout
from darklantern.sealing.payload import SEALED_CHUNK

START = st.integers(1, 2 * SEALED_CHUNK)


@given(START, st.integers(1, 4 * PIECE))
def test_each_chunk_begins_in_one_piece_and_each_byte_lies_in_one(start: int, plaintext: int) -> None:
    cutting = Cutting(Layout(start, plaintext))
    begun = [index for piece in range(cutting.pieces) for index in cutting.beginning_in(piece)]
    assert begun == list(range(cutting.layout.chunks))
    assert sum(cutting.size_of(piece) for piece in range(cutting.pieces)) == cutting.layout.ciphertext
    assert all(0 < cutting.size_of(piece) <= PIECE for piece in range(cutting.pieces))
    places = [Span(cutting, piece).place for piece in range(cutting.pieces)]
    assert places[0].start == 0 and places[-1].stop == plaintext
    assert all(one.stop == two.start for one, two in pairwise(places))


@given(START, st.integers(1, 4 * PIECE))
def test_what_reaches_into_a_piece_is_the_chunk_over_its_border(start: int, plaintext: int) -> None:
    cutting = Cutting(Layout(start, plaintext))
    for piece in range(cutting.pieces):
        border = piece * PIECE
        over = [
            index
            for index in range(cutting.layout.chunks)
            if (place := cutting.layout.sealed_range(index)).start < border < place.stop
        ]
        assert list(cutting.reaching_into(piece)) == over
    assert not cutting.reaching_into(cutting.pieces)


def test_an_artifact_with_too_few_or_too_many_pieces_is_refused() -> None:
    artifact, pieces = seal_artifact(bytes(PIECE))
    first, *others = artifact.pieces
    for names in ((first,), (first, *others, *others)):
        with pytest.raises(SealError, match=f"expected 2 pieces .* got {len(names)}"):
            opened_cutting(msgspec.structs.replace(artifact, pieces=names), pieces[first])


def test_a_mark_depends_on_seed_place_and_bytes() -> None:
    marks = {mark(seed, piece, data) for seed in (b"\1" * 32, b"\2" * 32) for piece in (0, 1) for data in (b"", b"a")}
    assert len(marks) == 8
