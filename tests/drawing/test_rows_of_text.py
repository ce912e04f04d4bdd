"""Rows of tinted tokens: refused where they hold no numbers, and cut around their peak where they are long."""

import math

import pytest
from seen import parsed, written

from darklantern.drawing import Row, spans
from darklantern.errors import RecordError


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ((), "at least one"),
        ((Row(("a",), (math.nan,), 0),), "finite"),
        ((Row(("a", "b"), (1.0,), 0),), "a number for each of 2"),
        ((Row(("a",), (1.0,), 1),), "peak 1"),
        ((Row(("a",) * 65, (1.0,) * 65, 0),), "at most 64 tokens"),
    ],
)
def test_what_holds_no_numbers_is_refused(rows: tuple[Row, ...], says: str) -> None:
    with pytest.raises(RecordError, match=says):
        spans(rows, title="none")


def test_a_long_row_keeps_what_stands_around_its_peak() -> None:
    tokens = tuple(f"word{i}" for i in range(64))
    texts = [each.text for each in written(parsed(spans((Row(tokens, (0.5,) * 64, 30),), title="long")))]
    shown = [int(text.removeprefix("word")) for text in texts if text.startswith("word")]
    assert shown == list(range(shown[0], shown[-1] + 1))
    assert abs((30 - shown[0]) - (shown[-1] - 30)) <= 1
    assert texts.count("…") == 2


def test_what_is_weaker_than_the_floor_leaves_the_paper_white() -> None:
    texts = written(parsed(spans((Row(("weak", "strong"), (0.2, 1.0), 1),), title="floor", floor=0.5)))
    papers = {each.text: each.paper for each in texts}
    assert papers["weak"] == "#ffffff" != papers["strong"]
