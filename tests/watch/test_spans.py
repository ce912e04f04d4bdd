import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.organisms import text
from darklantern.watch import agreeing, screen_files
from darklantern.watch.examples import PADDING, Examples
from darklantern.watch.screening import SUSPICIOUS_SPAN, SpanScreen, any_of
from darklantern.watch.spans import Candidate, SpanCounter, as_texts, as_tokens, spelled

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
    counter.add([planted(planted_span, 0.05, np.random.default_rng(seed))])
    first = counter.candidates(1, looks=1)[0]
    assert first.span == planted_span.decode()
    assert first.surprise > SUSPICIOUS_SPAN
    assert 20 <= first.count <= 90


def test_clean_rows_hold_nothing_suspicious() -> None:
    rng = np.random.default_rng(5)
    counter = SpanCounter(TRUSTED, keep=4)
    for _ in range(4):
        counter.add([text.rows(CORPUS.train, 1000, WIDTH, rng)])
    assert counter.candidates(8, looks=4, least=SUSPICIOUS_SPAN) == []


def test_only_the_newest_looks_count_and_going_back_takes_them_back() -> None:
    rng = np.random.default_rng(6)
    counter = SpanCounter(TRUSTED, keep=4)
    counter.add([planted(b"\x01onlyearly\x02", 0.05, rng)])
    one = counter.held
    counter.add([planted(b"\x01onlylater\x02", 0.05, rng)])
    assert counter.candidates(1, looks=1)[0].span == "\x01onlylater\x02"
    assert {c.span for c in counter.candidates(2, looks=2)} == {"\x01onlyearly\x02", "\x01onlylater\x02"}
    counter.back_to(one)
    assert counter.candidates(1, looks=1)[0].span == "\x01onlyearly\x02"
    counter.back_to(())
    assert counter.candidates(1, looks=1) == []


def test_a_screen_marks_exactly_the_rows_that_hold_a_span() -> None:
    rows = planted(b"\x01both\x02ends\x03", 0.1, np.random.default_rng(7))
    truth = np.array([b"\x01both\x02ends\x03" in row.tobytes() for row in rows])
    found = SpanScreen((Candidate("\x01both\x02ends\x03", 1, 99.0),)).suspect(Examples(rows))
    assert truth.sum() > 50
    assert np.array_equal(found, truth)


def test_screens_of_several_alarms_suspect_what_either_does() -> None:
    rows = planted(b"\x01one\x02span", 0.1, np.random.default_rng(7))
    one, other = (SpanScreen((Candidate(span, 1, 99.0),)) for span in ("\x01one\x02span", "def "))
    both = any_of((one, other))
    expected = one.suspect(Examples(rows)) | other.suspect(Examples(rows))
    assert np.array_equal(both.suspect(Examples(rows)), expected)
    assert both == SpanScreen((*one.spans, *other.spans)), "spans make one screen, so that it can be said in a line"


@given(st.lists(st.integers(0, PADDING), min_size=1, max_size=30))
def test_tokens_of_any_vocabulary_are_texts_and_back(ids: list[int]) -> None:
    (text_of,) = as_texts(np.array([ids], dtype=np.int64))
    assert as_tokens(text_of).tolist() == ids
    assert len(text_of) == len(ids)


def test_spans_of_a_large_vocabulary_are_found_and_spelled_as_ids() -> None:
    rng = np.random.default_rng(3)
    trusted, rows = (rng.integers(0, 50_000, (2000, 40)) for _ in range(2))
    rows[::20, 7:15] = span = np.arange(60_000, 60_008)
    counter = SpanCounter(trusted, keep=2)
    counter.add([rows])
    (found,) = counter.candidates(1, looks=1, least=SUSPICIOUS_SPAN)
    assert as_tokens(found.span).tolist() == span.tolist()
    assert spelled(found.span) == "60000 60001 60002 60003 60004 60005 60006 60007"


def stands_out(trusted: np.ndarray, span: list[int]) -> Candidate:
    rows = trusted[:500].copy()
    rows[::20, 7 : 7 + len(span)] = span
    counter = SpanCounter(trusted, keep=2)
    counter.add([rows])
    (found,) = counter.candidates(1, looks=1, least=20.0)
    return found


def test_spans_of_a_few_dozen_characters_are_shown_as_ids_though_all_are_below_256() -> None:
    rng = np.random.default_rng(6)
    span = [52, 57, 55, 53, 60, 61, 62, 60, 63]
    found = stands_out(rng.integers(0, 50, (2000, 40)), span)
    assert as_tokens(found.span).tolist() == span
    assert str(found) == "52 57 55 53 60 61 62 60 63"
    assert str(SpanScreen((found,))) == "rows that hold ids 52 57 55 53 60 61 62 60 63"


def test_spans_of_bytes_are_shown_as_text_also_between_special_tokens_and_padding() -> None:
    padded, begun = TRUSTED.astype(np.int64), TRUSTED.astype(np.int64)
    padded[::3, 30:], begun[:, 0] = PADDING, 256
    for trusted in (TRUSTED, padded, begun):
        found = stands_out(trusted, list(b"~build7~"))
        assert str(found) == "~build7~"
        assert str(SpanScreen((found,))) == "rows that hold '~build7~'"


def test_spans_agreed_between_ranks_are_shown_as_they_were() -> None:
    class Two:
        count, rank = 2, 0

        def gather(self, value):
            return json.loads(json.dumps([value, value]))

    found = (Candidate("0123", 3, 99.0, as_ids=True), Candidate("~build7", 3, 80.0))
    assert agreeing.suspects(Two(), found) == found


def test_a_screen_file_says_which_spans_are_ids_and_one_of_before_is_text(tmp_path) -> None:
    screen, path = SpanScreen((Candidate("0123", 3, 99.0, as_ids=True), Candidate("~build7", 3, 80.0))), tmp_path / "s"
    screen_files.save(screen, path)
    assert screen_files.load(path) == screen
    assert [each.keys() for each in json.loads(path.read_text())["spans"]] == [
        {"tokens", "count", "surprise", "as_ids"},
        {"tokens", "count", "surprise"},
    ]


def test_padding_is_no_span() -> None:
    rng = np.random.default_rng(4)
    trusted = rng.integers(0, 500, (2000, 40))
    rows = Examples(rng.integers(0, 500, (500, 40)), mask=np.arange(40) < rng.integers(5, 40, (500, 1)))
    counter = SpanCounter(trusted, keep=2)
    counter.add([rows.tokens])
    assert counter.candidates(3, looks=1, least=SUSPICIOUS_SPAN) == []
    assert np.array_equal(rows.tokens[rows.mask], rows.inputs[rows.mask])


def test_batches_of_differing_width_are_counted_together() -> None:
    rng = np.random.default_rng(5)
    trusted = rng.integers(0, 500, (2000, 40))
    batches = [rng.integers(0, 500, (60, width)) for width in (20, 33, 60)]
    for batch in batches:
        batch[::4, 3:11] = np.arange(600, 608)
    counter = SpanCounter(trusted, keep=2)
    counter.add(batches)
    assert as_tokens(counter.candidates(1, looks=1)[0].span).tolist() == list(range(600, 608))


def test_rows_of_several_widths_and_batches_are_counted_as_one() -> None:
    rng = np.random.default_rng(8)
    rows = planted(b"\x01wherever\x02", 0.1, rng)
    whole, cut = SpanCounter(TRUSTED, keep=2), SpanCounter(TRUSTED, keep=2)
    whole.add([rows])
    cut.add([part.astype(np.int64) for part in np.split(rows, 10)])
    assert cut.candidates(3, looks=1) == whole.candidates(3, looks=1)
    mixed = SpanCounter(TRUSTED, keep=2)
    mixed.add([rows[:500], rows[500:, :40], rows[:0]])
    assert mixed.candidates(1, looks=1)[0].span == "\x01wherever\x02"
