"""What a signal read at each look, and its placebo beside it, in the signal's own unit."""

from collections.abc import Sequence

from darklantern.drawing import checks
from darklantern.drawing.frame import EDGE, WIDE, document, label, line
from darklantern.drawing.ink import AXIS, CONTROL, MAIN, SOFT
from darklantern.drawing.markup import Svg
from darklantern.drawing.panels import HEAD, Line, Panel, draw
from darklantern.drawing.scales import Scale, number, ticks, whole
from darklantern.errors import RecordError

_LEFT, _RIGHT, _TALL = EDGE + 44, 236.0, 84.0


def readings(
    name: str, unit: str, steps: Sequence[int], values: Sequence[float], placebos: Sequence[float] | None = None
) -> Svg:
    """Draw `values` over `steps`, and `placebos` dashed on the same scale. Where steps go back, what was undone fades.

    Raises RecordError for nothing to draw, lengths that differ, NaN or infinity.
    """
    checks.something("values", values)
    given = [values] if placebos is None else [values, placebos]
    for each in given:
        checks.finite(f"the readings of {name!r}", each)
        if len(each) != len(steps):
            raise RecordError(
                f"expected as many steps as readings of {name!r}, got {len(steps)} and {len(each)}",
                hint="a reading belongs to the step at which it was taken",
            )
    low, high = min(map(min, given)), max(map(max, given))
    pad = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    lines = [_line("value", steps, values, MAIN, None)]
    if placebos is not None:
        lines.append(_line("placebo", steps, placebos, CONTROL, "4 3"))
    across = Scale(min(steps), max(steps), _LEFT, WIDE - _RIGHT)
    panel = Panel(name, unit, tuple(lines), low - pad, high + pad, ticks(low - pad, high + pad, 3), _TALL)
    bottom = 8 + HEAD + panel.height
    first, last = whole(min(steps)), whole(max(steps))
    return document(
        "readings",
        (WIDE, bottom + 26),
        name,
        f"{name}, {unit}: {number(values[-1])} at step {whole(steps[-1])}"
        + (f", its placebo {number(placebos[-1])}." if placebos is not None else "."),
        [
            *draw(panel, 8, across, WIDE - EDGE),
            line(across.start, bottom, across.end, bottom, AXIS),
            label(across.start, bottom + 17, first, size=11, fill=SOFT),
            label(across.end, bottom + 17, last, size=11, fill=SOFT, anchor="end"),
            label(across.end + 24, bottom + 17, "training step", size=11, fill=SOFT),
        ],
    )


def _line(name: str, steps: Sequence[int], values: Sequence[float], colour: str, dash: str | None) -> Line:
    return Line(name, tuple(steps), tuple(values), number(values[-1]), None, colour, dash)
