"""Matrices of a model: the right colour at each cell, masks and NaN as what they are, few bytes, nothing unreadable."""

import math
import re

import pytest
from examples import attention
from seen import SPACE, parsed

from darklantern.drawing import Axis, Field, fields
from darklantern.drawing.fields import MOST_CELLS, TOLD
from darklantern.drawing.frame import PAPER
from darklantern.drawing.ink import ALARM, INK, MASKED, ramp
from darklantern.errors import RecordError

POS, KEY = Axis("pos", range(3), ("The", " cat", " sat")), Axis("key", range(4))
VALUES = [[0.0, 1.0, -math.inf, -math.inf], [-2.0, 0.5, 4.0, math.nan], [0.25, math.inf, 0.0, -4.0]]


def told(picture: str) -> dict[str, str]:
    """Each cell's tooltip and its colour."""
    cells = [each for each in parsed(picture).iter(SPACE + "rect") if each.find(SPACE + "title") is not None]
    return {each[0].text or "": each.get("fill", "") for each in cells}


def drawn(picture: str, columns: int) -> dict[tuple[int, int], str]:
    """The colour of each cell where cells are drawn as runs."""
    found = {}
    for path in parsed(picture).iter(SPACE + "path"):
        for start, row, run in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", path.get("d", "")):
            found |= {(int(row), int(start) + i): path.get("fill", "") for i in range(int(run))}
    assert len(found) % columns == 0
    return found


def test_each_cell_has_its_values_colour_and_says_its_place() -> None:
    cells = told(fields([Field("", VALUES)], POS, KEY, title="a:pattern"))
    assert len(cells) == 12
    assert cells["1: pos 0 “The”, key 1"] == ramp(0.25)
    assert cells["4: pos 1 “␣cat”, key 2"] == ramp(1.0)
    assert cells["−4: pos 2 “␣sat”, key 3"] == ramp(-1.0)
    assert cells["0: pos 2 “␣sat”, key 2"] == ramp(0.0)
    assert cells["masked: pos 0 “The”, key 3"] == MASKED
    assert cells["NaN: pos 1 “␣cat”, key 3"] == cells["∞: pos 2 “␣sat”, key 1"] == ALARM


def test_the_legend_tells_the_scale_the_mask_and_what_is_no_number() -> None:
    shown = "".join(parsed(fields([Field("", VALUES)], POS, KEY, title="a")).itertext())
    assert "−4" in shown and "masked (−∞)" in shown and "NaN or ∞, crossed: 2" in shown
    plain = "".join(
        parsed(fields([Field("", [[0.0, 0.5]])], Axis("pos", (0,)), Axis("dim", (0, 1)), title="a")).itertext()
    )
    assert "masked" not in plain and "NaN" not in plain and "−" not in plain


def test_beyond_the_limit_colours_stay_and_the_legend_says_so() -> None:
    picture = fields([Field("", [[-1.0, 1.0, 100.0]])], Axis("pos", (0,)), Axis("dim", range(3)), title="a", limit=1.0)
    cells = told(picture)
    assert cells["100: pos 0, dim 2"] == cells["1: pos 0, dim 1"] == ramp(1.0)
    assert "≥ 1" in picture and "≤" not in picture


def test_many_cells_are_drawn_as_runs_of_the_same_colours() -> None:
    size = math.isqrt(TOLD) + 10
    values = [[-math.inf if key > pos else (pos - key) / size for key in range(size)] for pos in range(size)]
    picture = fields([Field("", values)], Axis("pos", range(size)), Axis("key", range(size)), title="a", square=True)
    cells = drawn(picture, size)
    assert len(cells) == size * size
    assert cells[0, 1] == MASKED and cells[7, 7] == ramp(0.0) and cells[size - 1, 0] == ramp(1.0)
    assert cells[30, 0] != cells[0, 0]


def test_even_the_largest_picture_stays_below_a_megabyte() -> None:
    side = math.isqrt(MOST_CELLS)
    restless = [[math.sin(i * 37 + j * 11) for j in range(side)] for i in range(side)]
    axes = Axis("pos", range(side)), Axis("key", range(side))
    assert len(fields([Field("", restless)], *axes, title="a", square=True)) < 1e6
    side = math.isqrt(TOLD)
    texts = ["W" * 100_000] * side
    axes = Axis("pos", range(side), texts), Axis("key", range(side), texts)
    assert len(fields([Field("", [row[:side] for row in restless[:side]])], *axes, title="a", square=True)) < 1e6


def test_many_heads_of_many_tokens_do_not_make_an_endless_picture() -> None:
    for size, heads in ((40, 7), (24, 32), (12, 64), (9, 64)):
        assert float(parsed(attention(size, heads, tokens=size == 40)).get("height", "0")) < 1300


def test_heads_stand_side_by_side_each_under_its_name() -> None:
    texts = [each.text for each in parsed(attention(9, 4, tokens=True)).iter(SPACE + "text")]
    assert [f"head {i}" for i in range(4)] == [text for text in texts if text and text.startswith("head ")]
    assert texts.count("␣quick") == 2 + 4 * 2  # twice among nine tokens: at two rows, and below each head


@pytest.mark.parametrize(
    ("values", "says"),
    [([[1.0]], "rows"), ([[1.0, 2.0], [1.0], [1.0, 2.0, 3.0, 4.0]], "rows"), ([[1e200] * 4] * 3, "finite")],
)
def test_what_is_no_matrix_of_the_picture_is_refused(values: list[list[float]], says: str) -> None:
    with pytest.raises(RecordError, match=says):
        fields([Field("", values)], POS, KEY, title="a")


def test_more_cells_than_can_be_told_apart_are_refused() -> None:
    with pytest.raises(RecordError, match=str(MOST_CELLS)):
        fields([Field("", [[0.0] * 200] * 200)], Axis("pos", range(200)), Axis("key", range(200)), title="a")
    with pytest.raises(RecordError, match="fields"):
        fields([], POS, KEY, title="a")


def test_cells_hold_texts_where_there_is_room_and_tell_them_in_any_case() -> None:
    texts = [["the", " a", "<b>", "x"]] * 3
    rows, columns = Axis("site", range(3)), Axis("pos", range(4))
    values = [[0.1, 0.2, 0.9, -1.0]] * 3
    picture = parsed(fields([Field("", values, texts)], rows, columns, title="lens"))
    written = [(each.text, each.get("fill")) for each in picture.iter(SPACE + "text")]
    assert written.count(("<b>", PAPER)) == written.count(("␣a", INK)) == 3  # told from its cell's colour
    assert "0.2: “␣a”, site 0, pos 1" in told(fields([Field("", values, texts)], rows, columns, title="lens"))
    narrow = fields(
        [Field("", [[0.5] * 96], [["word"] * 96])], Axis("site", (0,)), Axis("pos", range(96)), title="lens"
    )
    assert not any(each.text == "word" for each in parsed(narrow).iter(SPACE + "text"))
    assert "0.5: “word”, site 0, pos 7" in told(narrow)
    with pytest.raises(RecordError, match="a text for each value"):
        fields([Field("", values, texts[:2])], rows, columns, title="lens")
