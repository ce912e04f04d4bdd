"""A word-sized line, for a table or a sentence."""

from collections.abc import Sequence

from darklantern.drawing import checks
from darklantern.drawing.ink import ALARM, MAIN
from darklantern.drawing.markup import Svg, coordinate, element
from darklantern.drawing.placing import thinned
from darklantern.drawing.scales import Scale, number

_WIDE, _TALL, _PAD = 96.0, 20.0, 3.0


def sparkline(values: Sequence[float], *, threshold: float | None = None, label: str = "") -> Svg:
    """Draw `values` evenly spaced, the last one as a dot, `threshold` as a thin line in alarm's colour.

    No axes and no paper: it sits in a line of text. `label` and the numbers are in its title.
    Raises RecordError for no values, NaN or infinity.
    """
    checks.something("values", values)
    level = [] if threshold is None else [threshold]
    checks.finite("the sparkline", [*values, *level])
    across = Scale(0, max(len(values) - 1, 1), _PAD, _WIDE - _PAD - 1)
    up = Scale(min(*values, *level, values[0]), max(*values, *level, values[0]), _TALL - _PAD, _PAD)
    points = thinned([(across(i), up(value)) for i, value in enumerate(values)])
    path = "M" + "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in points)
    ends = f"{number(values[0])} to {number(values[-1])}" if len(values) > 1 else number(values[0])
    trace = element("path", d=path, fill="none", stroke=MAIN, stroke_width=1.5, stroke_linejoin="round")
    rule = [
        element("line", x1=_PAD, x2=_WIDE - _PAD, y1=up(value), y2=up(value), stroke=ALARM, stroke_width=0.75)
        for value in level
    ]
    return element(
        "svg",
        element("title", f"{label} {ends}".strip()),
        *rule,
        *([trace] if len(values) > 1 else []),
        element("circle", cx=points[-1][0], cy=points[-1][1], r=2.25, fill=MAIN),
        xmlns="http://www.w3.org/2000/svg",
        class_="dl-figure dl-sparkline",
        role="img",
        viewBox=f"0 0 {coordinate(_WIDE)} {coordinate(_TALL)}",
        width=_WIDE,
        height=_TALL,
    )
