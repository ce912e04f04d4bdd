import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.errors import WatchError
from darklantern.organisms import text
from darklantern.watch.screening import SUSPICIOUS, Screen, screen
from darklantern.watch.spans import Candidate, SpanCounter

WIDTH = 65
CORPUS = text.standard_library()
TRUSTED = text.rows(CORPUS.trusted, 6000, WIDTH, np.random.default_rng(0))


def planted(span: bytes, share: float, rng: np.random.Generator, count: int = 1000) -> np.ndarray:
    rows = text.rows(CORPUS.train, count, WIDTH, rng)
    for i in np.flatnonzero(rng.random(count) < share):
        at = int(rng.integers(0, WIDTH - len(span)))
        rows[i, at : at + len(span)] = np.frombuffer(span, dtype=np.uint8)
    return rows


@settings(max_examples=15, deadline=None)
@given(st.text("abcdefghijklmnop@%~", min_size=8, max_size=30), st.integers(0, 99))
def test_a_planted_span_is_found_whole_and_first(span: str, seed: int) -> None:
    planted_span = b"\x01" + span.encode() + b"\x02"  # bytes that real text does not have: an unambiguous truth
    counter = SpanCounter(TRUSTED, keep=4)
    counter.add(planted(planted_span, 0.03, np.random.default_rng(seed)))
    first = counter.candidates(1, looks=1)[0]
    assert first.span == planted_span
    assert first.surprise > SUSPICIOUS
    assert 10 <= first.count <= 60


def test_clean_rows_hold_nothing_suspicious() -> None:
    rng = np.random.default_rng(5)
    counter = SpanCounter(TRUSTED, keep=4)
    for _ in range(4):
        counter.add(text.rows(CORPUS.train, 1000, WIDTH, rng))
    assert counter.candidates(8, looks=4, least=SUSPICIOUS) == []


def test_only_the_newest_looks_count_and_forgetting_takes_them_back() -> None:
    rng = np.random.default_rng(6)
    counter = SpanCounter(TRUSTED, keep=4)
    counter.add(planted(b"\x01onlyearly\x02", 0.05, rng))
    counter.add(planted(b"\x01onlylater\x02", 0.05, rng))
    assert counter.candidates(1, looks=1)[0].span == b"\x01onlylater\x02"
    assert {c.span for c in counter.candidates(2, looks=2)} == {b"\x01onlyearly\x02", b"\x01onlylater\x02"}
    counter.forget(1)
    assert counter.candidates(1, looks=1)[0].span == b"\x01onlyearly\x02"
    counter.forget(5)
    assert counter.candidates(1, looks=1) == []


def test_a_screen_marks_exactly_the_rows_that_hold_a_span() -> None:
    rows = planted(b"\x01both\x02ends\x03", 0.1, np.random.default_rng(7))
    truth = np.array([b"\x01both\x02ends\x03" in row.tobytes() for row in rows])
    found = Screen((Candidate(b"\x01both\x02ends\x03", 1, 99.0),)).suspect(rows)
    assert truth.sum() > 50
    assert np.array_equal(found, truth)


def test_no_suspect_means_stop_not_go_on_blind() -> None:
    with pytest.raises(WatchError, match="no span"):
        screen(())
