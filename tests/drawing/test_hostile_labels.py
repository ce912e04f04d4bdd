"""Labels come from peers. Whatever they hold, the picture keeps its structure and its other texts their place."""

import math
import re
import unicodedata
import xml.etree.ElementTree as ET

import pytest
from examples import EDGES, NODES
from hypothesis import given
from hypothesis import strategies as st
from seen import KNOWN, names, outside, overlaps, parsed, written

from darklantern.drawing import (
    Axis,
    Bar,
    Field,
    Node,
    Row,
    Svg,
    bars,
    circuit,
    curves,
    fields,
    heatmap,
    spans,
    sparkline,
)
from darklantern.drawing.lettering import LONGEST, clean, shorten, visible, width
from darklantern.drawing.markup import element
from darklantern.records.findings import Event, Grid, Series

HOSTILE = {
    "closes the element": "</text><script>alert(1)</script>",
    "leaves the attribute": '" onload="alert(1)" x="',
    "entity": "&lt;script&gt; &#0; &xxe;",
    "cdata and comment": "]]><!-- <![CDATA[ --> <?php",
    "controls": "a\x00b\x07c\x1b[31md\x7f\x85",
    "no xml at all": "\ufffe\uffff\ud800 lone",
    "overrides": "user\u202etxt.exe\u2066\u2069\u200f",
    "right to left": "מודל سري 450",
    "zero width": "al\u200barm\ufeff",
    "stacked marks": "Z" + "\u0300\u0301\u0302" * 60,
    "very long": "W" * 100_000,
    "line breaks": "one\r\ntwo\u2028three\tfour",
    "full width": "模型" * 200,
    "white": "   ",
}


def pictures(text: str) -> list[Svg]:
    short = text[:5]
    grid = Grid(name=text, unit=text, rows=(text, "b"), columns=(short, "x", "\n"), values=((0.1, 0, -1), (0, 0, 0.5)))
    series = tuple(
        Series(name=text, role=role, unit=text, steps=(1, 2, 9), values=(0.1, 0.5, 0.2), threshold=t, alarm=2)
        for role in ("signal", "behaviour", "statistic", "truth", "loss")
        for t in (None, 0.4)
    )
    nodes = tuple(Node(site=text, position=n.position, layer=n.layer, text=text) for n in NODES)
    return [
        heatmap(grid, title=text),
        curves(series, [Event(step=s, label=text, text=text) for s in (1, 2, 2, 9)], title=text),
        bars([Bar(label=text, value=-1.23456e-10, interval=(-2e-10, 0))] * 2, title=text, unit=text, note=text),
        circuit(nodes, EDGES, title=text, unit=text, tokens={26: text}, note=text),
        sparkline((1, 2), label=text),
        spans([Row((text, "b"), (1, -2), 0, head=text)] * 2, title=text, says=text, notes=(text, text)),
        fields(
            [Field(text, [[0.5, -math.inf], [-1, 2]])] * 3,
            Axis("pos", (0, 1), (text, "b")),
            Axis("key", (0, 1), (text, "b")),
            title=text,
            says=text,
            notes=(text, text, text),
        ),
    ]


PLAIN = [names(parsed(picture)) for picture in pictures("a")]


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_stays_text(kind: str) -> None:
    for picture, plain in zip(pictures(HOSTILE[kind]), PLAIN, strict=True):
        root = parsed(picture)
        assert set(names(root)) <= KNOWN
        without_tooltips = [name for name in names(root) if name != "title"]
        assert without_tooltips == [name for name in plain if name != "title"]
        assert not any(attribute.startswith("on") for each in root.iter() for attribute in each.attrib)
        shown = "".join(root.itertext())
        assert not any(unicodedata.category(c)[0] == "C" and c not in "\u200c\u200d" for c in shown)
        assert len(picture) < 120_000


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_keeps_to_its_place(kind: str) -> None:
    for picture in pictures(HOSTILE[kind]):
        root = parsed(picture)
        texts = [each for each in written(root) if each.box.x > -1e8]
        assert overlaps(texts) == []
        assert outside(root, texts) == []


@given(st.text(st.characters(), max_size=60))
def test_any_text_survives_as_one_text_node(text: str) -> None:
    drawn = element("text", text)
    assert ET.fromstring(drawn).text in (clean(text), None)
    assert re.sub("[\u200c\u200d]", "", drawn).isprintable()  # joiners are spelling, and stay


@given(st.text(max_size=80), st.floats(0, 300), st.booleans())
def test_shortened_text_fits(text: str, room: float, bold: bool) -> None:
    shown = shorten(text, 12, room, bold=bold)
    assert shown in (text, "…") or width(shown, 12, bold=bold) <= room


def test_text_put_together_as_strings_is_escaped_again() -> None:
    glued = element("g") + "<script/>"
    assert "<script" not in element("g", glued)


def test_white_space_and_control_bytes_are_shown() -> None:
    assert visible(" the\n\t\r\x00\x1b") == "␣the⏎⇥␍␀␛"


def test_what_was_cut_off_stays_as_a_tooltip_up_to_a_limit() -> None:
    picture = bars([Bar(label="W" * 200, value=1.0)], title="cut")
    assert "W" * 200 in picture
    assert len(clean("W" * 10 * LONGEST)) == LONGEST + 1


def test_a_label_holds_single_spaces() -> None:
    assert clean("a  b   c\n\n\t d") == "a b c d"
