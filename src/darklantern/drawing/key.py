"""What the colours of a picture mean: the bar of shades, and swatches for cells that hold no number."""

from collections.abc import Sequence

from darklantern.drawing.frame import EDGE, label
from darklantern.drawing.ink import SOFT, ramp
from darklantern.drawing.lettering import width
from darklantern.drawing.markup import Svg, element
from darklantern.drawing.scales import number

BAR = 180.0
_SHADES = 36


def key(
    low: float, high: float, limit: float, unit: str, right: float, y: float, *, stronger: bool = False
) -> list[Svg]:
    """The colour bar, over the part of the scale from −`limit` to `limit` that the values use.

    With `stronger`, there are values beyond the ends, drawn as dark as these.
    """
    start, end = (-limit if low < 0 else 0.0), (limit if high > 0 or low >= 0 else 0.0)
    left, step = right - BAR, BAR / _SHADES
    shades = [
        element(
            "rect",
            x=left + i * step,
            y=y,
            width=step + 0.5 * (i + 1 < _SHADES),
            height=9,
            fill=ramp((start + (end - start) * (i + 0.5) / _SHADES) / limit),
        )
        for i in range(_SHADES)
    ]
    below, above = ("≤ " if stronger and low < start else ""), ("≥ " if stronger and high > end else "")
    marks = [(below + number(start), "start", left), (above + number(end), "end", left + BAR)]
    if start < 0 < end:
        marks.append(("0", "middle", left + BAR / 2))
    return [
        element("g", *shades),
        *(label(x, y + 21, says, size=10, fill=SOFT, anchor=anchor) for says, anchor, x in marks),
        label(left - 10, y + 9, unit, size=11, fill=SOFT, anchor="end", room=left - 10 - EDGE),
    ]


def swatches(items: Sequence[tuple[str, str]], right: float, y: float) -> list[Svg]:
    """Squares of a colour, each with what it stands for, from `right` leftward."""
    made = []
    for colour, says in items:
        right -= width(says, 11)
        made.append(label(right, y + 9, says, size=11, fill=SOFT))
        made.append(element("rect", x=right - 15, y=y, width=10, height=10, fill=colour))
        right -= 32
    return made
