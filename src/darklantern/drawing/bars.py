"""Horizontal bars to compare a few measured effects, with their intervals."""

from collections.abc import Sequence

from darklantern.drawing import checks
from darklantern.drawing.frame import EDGE, HEADED, WIDE, document, heading, label, line
from darklantern.drawing.ink import AXIS, CONTROL, INK, MAIN, RULE, SOFT
from darklantern.drawing.lettering import clean, shorten, width
from darklantern.drawing.markup import Svg, element
from darklantern.drawing.scales import Scale, number, tick_labels, ticks
from darklantern.errors import RecordError
from darklantern.records import Value
from darklantern.records.exact import Name

MOST_BARS = 32
_ROW = 30.0
_VALUES = 220.0
_ASIDE = 34.0


class Bar(Value, frozen=True, kw_only=True):
    """One bar. `interval` is what the evidence states, for instance a 95 % interval; `control` is drawn grey."""

    label: Name
    value: float
    interval: tuple[float, float] | None = None
    control: bool = False


def bars(items: Sequence[Bar], *, title: str, unit: str = "", note: str = "") -> Svg:
    """Draw `items` top to bottom from a common zero, each with its value and interval in figures.

    `note` says under the title what the intervals are and what the controls were.
    Raises RecordError for no bars, too many, NaN or infinity, or an interval that ends before it starts.
    """
    checks.something("bars", items)
    checks.at_most(MOST_BARS, "bars", items)
    for each in items:
        _check(each)
    reach = [0.0, *(each.value for each in items), *(end for each in items for end in each.interval or ())]
    low, high = min(reach), max(reach)
    names = min(max(width(clean(each.label), 12) for each in items), 300.0)
    left = EDGE + names + 14
    across = Scale(low, high if high > low else low + 1.0, left, WIDE - EDGE - _VALUES)
    bottom = HEADED + 4 + _ROW * len(items)
    return document(
        "bars",
        (WIDE, bottom + 44),
        title,
        " ".join([note, *(f"{each.label}: {_figures(each, unit)}." for each in items)]),
        [
            heading(title, note, WIDE),
            *_grid(across, bottom, unit),
            *(_bar(each, HEADED + 4 + i * _ROW, across, names, unit) for i, each in enumerate(items)),
            line(across(0), HEADED, across(0), bottom, AXIS, 1.25),
        ],
    )


def _check(each: Bar) -> None:
    checks.finite(f"bar {each.label!r}", [each.value, *(each.interval or ())])
    if each.interval is not None and each.interval[0] > each.interval[1]:
        raise RecordError(
            f"expected an interval (low, high) in bar {each.label!r}, got {each.interval}",
            hint="swap the two ends",
        )


def _grid(across: Scale, bottom: float, unit: str) -> list[Svg]:
    made = []
    marks = ticks(across.low, across.high, 5)
    for tick, says in zip(marks, tick_labels(marks), strict=True):
        made.append(line(across(tick), HEADED, across(tick), bottom, RULE))
        made.append(label(across(tick), bottom + 17, says, size=11, fill=SOFT, anchor="middle"))
    made.append(label(across.end + _ASIDE, bottom + 17, unit, size=11, fill=SOFT, room=_VALUES - _ASIDE))
    return made


def _bar(each: Bar, top: float, across: Scale, names: float, unit: str) -> Svg:
    middle = top + _ROW / 2
    ends = sorted((across(0), across(each.value)))
    left = _VALUES - _ASIDE - width(number(each.value), 12, bold=True) - 7
    spread = shorten(_range(each.interval), 11, left) if each.interval else ""
    return element(
        "g",
        element("title", f"{each.label}: {_figures(each, unit)}"),
        label(EDGE + names, middle + 4, each.label, fill=SOFT if each.control else INK, anchor="end", room=names),
        element(
            "rect",
            x=ends[0],
            y=middle - 8,
            width=max(ends[1] - ends[0], 0.5),
            height=16,
            rx=1.5,
            fill=CONTROL if each.control else MAIN,
            fill_opacity=0.55 if each.control else None,
        ),
        *([_whisker(each.interval, middle, across)] if each.interval else []),
        element(
            "text",
            element("tspan", number(each.value), fill=INK, font_weight="600"),
            *([element("tspan", spread, dx=7, font_size=11)] if spread else []),
            x=across.end + _ASIDE,
            y=middle + 4,
            fill=SOFT,
        ),
    )


def _whisker(interval: tuple[float, float], y: float, across: Scale) -> Svg:
    x1, x2 = across(interval[0]), across(interval[1])
    shape = f"M{x1:.2f} {y - 4:.2f}v8m0 -4H{x2:.2f}m0 -4v8"
    return element("path", d=shape, fill="none", stroke=INK, stroke_width=1.5)


def _range(interval: tuple[float, float]) -> str:
    return f"{number(interval[0])} to {number(interval[1])}"


def _figures(each: Bar, unit: str) -> str:
    spread = f", interval {_range(each.interval)}" if each.interval else ""
    return f"{number(each.value)} {unit}".rstrip() + spread
