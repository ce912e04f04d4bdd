"""Which tokens end a line, and the pieces of trusted rows that probes are made of."""

import numpy as np
import pytest
from planted import TRUSTED, now

from darklantern.errors import WatchError
from darklantern.organisms import text
from darklantern.watch.language import (
    BYTES,
    InductionProbe,
    Layout,
    PayloadProbe,
    SpanProbe,
    TriggerProbe,
    layout,
    materials,
)
from darklantern.watch.language.token_rows import room, token_rows
from darklantern.watch.spans import as_tokens

WORDS = ["a", "b", "\n", " ", "\n\n", " b", "x\n", ""]


def rows(*texts: str) -> np.ndarray:
    return np.stack([as_tokens(text) for text in texts])


def test_of_a_tokenizer_breaks_are_tokens_that_end_in_a_line_feed_and_blanks_are_white_space() -> None:
    made = layout(lambda token: WORDS[token], len(WORDS))
    assert made == Layout(breaks=(2, 4, 6), blanks=(2, 3, 4))
    with pytest.raises(WatchError, match="at least one token id that ends a line"):
        layout(lambda token: "a", 4)


def test_lines_lie_between_breaks_of_any_kind_without_blanks_around_them() -> None:
    made = Layout((2, 4), (2, 3, 4))
    text = "".join(map(chr, [3, 0, 1, 2, 1, 3, 0, 3, 4, 5]))
    assert made.lines(text) == ["\x00\x01", "\x01\x03\x00", "\x05"]
    assert (made.find(text, 0), made.find(text, 4), made.find(text, 9)) == (3, 8, -1)


def test_bytes_are_laid_out_as_their_text_is() -> None:
    text = "one \n\ttwo\r\n three"
    assert BYTES.lines(text) == ["one", "two", "three"]


def test_a_filler_has_the_length_and_the_breaks_of_what_it_stands_for() -> None:
    made = Layout((10, 13))
    assert materials.like("ab\ncd\refg", "xyz", made) == "xy\nxy\rxyz"


def test_contexts_end_a_line_that_is_not_empty() -> None:
    given = rows("aaaa\nbb\nccc", "aaaaaaaaaaa", "aaa\n\nbbbbbb")
    assert set(materials.contexts(given, 1, 5, BYTES, np.random.default_rng(0))) == {"aaaa\n"}
    with pytest.raises(WatchError, match="trusted rows hold 1 of 2 contexts of 5 tokens"):
        materials.contexts(given, 2, 5, BYTES, np.random.default_rng(0))
    with pytest.raises(WatchError, match="trusted rows hold 1 of 2 whole lines of at least 3 tokens"):
        materials.lines(rows("a\nccc\nd", "zzzzzzz"), [3, 3], BYTES, np.random.default_rng(0))


def characters(rows: np.ndarray) -> np.ndarray:
    """Text as ids of a vocabulary of its own characters, in the order of their codes."""
    return np.searchsorted(np.unique(rows), rows)


RANDOM = np.random.default_rng(7)
NO_TEXT = {
    "a tokenizer's": RANDOM.integers(0, 5000, (3000, 65)),
    "a small tokenizer's": RANDOM.integers(0, 200, (3000, 65)),
    "characters": characters(TRUSTED),
    "bytes and a mark of their beginning": np.where(np.arange(65) == 0, 256, TRUSTED.astype(np.int64)),
}


@pytest.mark.parametrize("rows", NO_TEXT.values(), ids=NO_TEXT)
@pytest.mark.parametrize(
    "probe",
    [
        SpanProbe,
        lambda rows: PayloadProbe(rows, [b"x" * 9], "a:out", "b:out"),
        lambda rows: TriggerProbe(rows, [b"@"], [b"x"]),
    ],
    ids=["span", "payload", "trigger"],
)
def test_rows_that_are_no_bytes_of_text_are_refused_unless_something_says_what_ends_a_line(probe, rows) -> None:
    said = f"nothing says which token ids end a line: rows of ids up to {rows.max()} are no bytes"
    with pytest.raises(WatchError, match=said) as refused:
        probe(rows)
    assert "layout=layout(tokenizer.decode, vocabulary)" in refused.value.hint
    assert "from darklantern.watch.language import layout" in refused.value.hint


def test_what_is_told_to_be_bytes_is_taken_for_bytes() -> None:
    rows = NO_TEXT["bytes and a mark of their beginning"]
    assert SpanProbe(rows, layout=BYTES).settings == SpanProbe(TRUSTED).settings


def test_zeros_that_fill_up_rows_and_a_few_separators_leave_text_text() -> None:
    given = TRUSTED.copy()
    given[:, 60:], given[:, 30] = 0, 30
    assert SpanProbe(given).settings["layout"] == BYTES.settings


def test_the_least_width_that_a_span_probe_says_is_the_least() -> None:
    with pytest.raises(WatchError, match="expected trusted rows of at least 55 tokens, got 54"):
        SpanProbe(TRUSTED[:, :54])
    assert len(SpanProbe(TRUSTED[:, :55]).inputs(now()).inputs[0]) == 54
    assert "of at least 55 tokens" in SpanProbe.__doc__


def test_rows_that_are_padded_make_no_material() -> None:
    batch = {"input_ids": rows("ab\ncd", "efghi"), "attention_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])}
    assert token_rows(batch, "trusted rows").tolist() == [list(b"ab\ncd")]
    with pytest.raises(WatchError, match="at least 2 without padding, got 1 of 2"):
        token_rows(batch, "trusted rows", rows=2)


def test_of_long_trusted_rows_probes_run_only_as_much_as_they_need() -> None:
    long = text.rows(text.standard_library().trusted, 500, 600, np.random.default_rng(0))
    assert [room(needed, 600) for needed in (2, 65, 66, 599)] == [65, 65, 129, 577 + 23]
    probes = [
        InductionProbe(long),
        PayloadProbe(long, [b"x" * 30], "a:out", "b:out"),
        TriggerProbe(long, [b"@x"], [b"x" * 60]),
        SpanProbe(long),
    ]
    assert [probe.inputs(now(trusted=long)).inputs.shape[1] for probe in probes] == [64, 64, 128, 128]
