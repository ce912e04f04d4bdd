"""What all pictures share: the sheet of paper, its heading, and a label that fits its room."""

import re
from collections.abc import Iterable, Mapping, Sequence

from darklantern.drawing.ink import INK, SOFT
from darklantern.drawing.lettering import clean, shorten
from darklantern.drawing.markup import Svg, coordinate, element

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
MONO = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
PAPER = "#ffffff"
WIDE = 880.0
"""Pixels across, for a page column and for a report alike."""
EDGE = 20.0
HEADED = 58.0
"""Pixels that the heading takes from the top."""
HALO: Mapping[str, str | float] = {
    "stroke": PAPER,
    "stroke_width": 4,
    "stroke_linejoin": "round",
    "paint_order": "stroke",
}
"""For text that lines pass under: an edge of paper around the letters."""


def document(kind: str, size: tuple[float, float], title: str, description: str, parts: Iterable[Svg]) -> Svg:
    """A whole picture on white paper, the same inline in a page and opened alone.

    It has no ids (two pictures in one page cannot clash), no style, no script and no reference to
    anything outside. What HTML would pass down to its text is set here once.
    """
    width, height = size
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        element("rect", class_="dl-paper", x=0, y=0, width=width, height=height, fill=PAPER),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        class_=f"dl-figure dl-{kind}",
        role="img",
        viewBox=f"0 0 {coordinate(width)} {coordinate(height)}",
        width=width,
        height=height,
        font_family=FONT,
        font_size=12,
        font_weight="400",
        font_style="normal",
        letter_spacing="normal",
        text_anchor="start",
        direction="ltr",
    )


def stacked(pictures: Sequence[Svg], title: str) -> Svg:
    """Whole pictures of this room, one below the other, as one."""
    made, top, widest = [], 0.0, 0.0
    for picture in pictures:
        size = re.search(r' viewBox="0 0 (\S+) (\S+)"', picture)
        assert size is not None  # `document` wrote it
        made.append(Svg(picture.replace("<svg ", f'<svg y="{coordinate(top)}" ', 1)))
        top, widest = top + float(size[2]), max(widest, float(size[1]))
    return document("stack", (widest, top), title, "", made)


def heading(title: str, subtitle: str, width: float) -> Svg:
    """The title and, in a softer ink, the one sentence that the picture says."""
    room = width - 2 * EDGE
    return element(
        "g",
        label(EDGE, 26, title, size=15, weight="600", room=room),
        label(EDGE, 45, subtitle, fill=SOFT, room=room),
    )


def label(
    x: float,
    y: float,
    text: str,
    *,
    size: float = 12,
    fill: str = INK,
    anchor: str | None = None,
    weight: str | None = None,
    family: str | None = None,
    room: float | None = None,
    halo: bool = False,
) -> Svg:
    """One line of text, shortened to `room` pixels; what was cut off stays as a tooltip."""
    whole = clean(text)
    shown = whole if room is None else shorten(whole, size, room, bold=weight is not None)
    return element(
        "text",
        shown,
        *([element("title", whole)] if shown != whole else []),
        x=x,
        y=y,
        fill=fill,
        font_size=None if size == 12 else size,
        font_weight=weight,
        font_family=family,
        text_anchor=anchor,
        **(HALO if halo else {}),
    )


def line(x1: float, y1: float, x2: float, y2: float, stroke: str, width: float = 1, dash: str | None = None) -> Svg:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, stroke_width=width, stroke_dasharray=dash)
