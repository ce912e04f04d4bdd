"""One band of a run's picture: lines over training steps on one scale, each named at its own end."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from darklantern.drawing.frame import HALO, PAPER, label, line
from darklantern.drawing.ink import ALARM, AXIS, INK, RULE, SOFT
from darklantern.drawing.lettering import clean, shorten, width
from darklantern.drawing.markup import Svg, coordinate, element, together
from darklantern.drawing.placing import spread, thinned
from darklantern.drawing.scales import Scale, tick_labels, whole

ROW = 31.0
"""Pixels between the names at the right: two lines of text each."""
HEAD = 24.0


@dataclass(frozen=True, slots=True)
class Line:
    """One curve in the units of its panel."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    status: str
    """the second line at its name"""
    alarm: int | None
    colour: str
    dash: str | None = None
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines on one scale. `alarm_at` draws the threshold there, in the colour of alarms."""

    heading: str
    note: str
    lines: tuple[Line, ...]
    low: float
    high: float
    ticks: tuple[float, ...]
    least: float
    """height in pixels, unless the names need more"""
    alarm_at: float | None = None
    bend: Callable[[float], float] = float

    @property
    def height(self) -> float:
        return max(self.least, ROW * len(self.lines))


def draw(panel: Panel, top: float, across: Scale, right: float) -> list[Svg]:
    """The panel from `top` down: heading, grid, curves, and names between the plot and `right`."""
    ceiling = top + HEAD
    up = Scale(panel.low, panel.high, ceiling + panel.height, ceiling, panel.bend)
    ends = [up(each.values[-1]) if each.values else up(panel.low) for each in panel.lines]
    places = spread(ends, ROW, ceiling + 6, ceiling + panel.height - 14)
    return [
        _heading(panel, top, across.start, right),
        *_grid(panel, up, across),
        *(_curve(each, up, across) for each in panel.lines),
        *(_alarm(each, up, across) for each in panel.lines),
        *(_name(each, end, y, across, right) for each, end, y in zip(panel.lines, ends, places, strict=True)),
    ]


def attempts(steps: Sequence[int]) -> list[tuple[int, int]]:
    """Index ranges of the stretches in which steps rise: after a rollback they start again lower."""
    if not steps:
        return []
    cuts = [i for i in range(1, len(steps)) if steps[i] <= steps[i - 1]]
    return list(zip([0, *cuts], [*cuts, len(steps)], strict=True))


def _heading(panel: Panel, top: float, left: float, right: float) -> Svg:
    note = shorten(clean(panel.note), 11, right - left - width(panel.heading, 12, bold=True) - 8)
    return element(
        "text",
        element("tspan", panel.heading, font_weight="600", fill=INK),
        element("tspan", note, dx=8, font_size=11),
        **HALO,
        x=left,
        y=top + 14,
        fill=SOFT,
    )


def _grid(panel: Panel, up: Scale, across: Scale) -> list[Svg]:
    """Hair lines at the ticks, the alarm line over them; a number that would touch another is left out."""
    made: list[Svg] = []
    left = across.start - 8
    written = [] if panel.alarm_at is None else [up(panel.alarm_at)]
    spelled = dict(zip(panel.ticks, tick_labels(panel.ticks), strict=True))
    for tick in sorted(panel.ticks, key=abs):
        y = up(tick)
        made.append(line(across.start, y, across.end, y, AXIS if tick == 0 else RULE))
        if all(abs(y - other) >= 14 for other in written):
            made.append(label(left, y + 4, spelled[tick], size=11, fill=SOFT, anchor="end", room=left - 2))
            written.append(y)
    if panel.alarm_at is not None:
        y = up(panel.alarm_at)
        made.append(line(across.start, y, across.end, y, ALARM))
        made.append(label(left, y + 4, "alarm", size=11, fill=ALARM, anchor="end", weight="600"))
    return made


def _curve(each: Line, up: Scale, across: Scale) -> Svg:
    """The path of each attempt; what a rollback undid stays visible, faded."""
    points = [(across(step), up(value)) for step, value in zip(each.steps, each.values, strict=True)]
    ranges = attempts(each.steps)
    made = []
    for index, (first, last) in enumerate(ranges):
        restart = min((each.steps[later] for later, _ in ranges[index + 1 :]), default=each.steps[last - 1])
        kept = bisect_right(each.steps, restart, first, last)
        made.append(_path(each, points[first:kept], up, None))
        if kept < last:
            made.append(_path(each, points[max(kept - 1, first) : last], up, 0.35))
    return element("g", *made, class_="dl-line")


def _path(each: Line, points: list[tuple[float, float]], up: Scale, opacity: float | None) -> Svg:
    if not points:
        return Svg("")
    if len(points) == 1:
        return element("circle", cx=points[0][0], cy=points[0][1], r=3, fill=each.colour, opacity=opacity)
    drawn = "M" + "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in thinned(points))
    outline = element(
        "path",
        d=drawn,
        fill="none",
        stroke=each.colour,
        stroke_width=1.25 if each.filled else 2,
        stroke_linejoin="round",
        stroke_dasharray=each.dash,
        opacity=opacity,
    )
    if not each.filled:
        return outline
    floor = coordinate(up(max(up.low, min(0.0, up.high))))
    area = f"{drawn}L{coordinate(points[-1][0])} {floor}L{coordinate(points[0][0])} {floor}Z"
    return together(element("path", d=area, fill=each.colour, fill_opacity=0.22, opacity=opacity), outline)


def _alarm(each: Line, up: Scale, across: Scale) -> Svg:
    if each.alarm is None:
        return Svg("")
    # After a rollback a step may stand twice: the one that crossed is the higher.
    there = [i for i, step in enumerate(each.steps) if step == each.alarm]
    later = (i for i, step in enumerate(each.steps) if step > (each.alarm or 0))
    at = max(there, key=lambda i: each.values[i]) if there else next(later, None)
    if at is None:
        return Svg("")
    says = element("title", f"{each.name}: alarm at step {whole(each.alarm)}")
    x, y = across(each.steps[at]), up(each.values[at])
    return element("circle", says, cx=x, cy=y, r=4.5, fill=each.colour, stroke=PAPER, stroke_width=1.5)


def _name(each: Line, end: float, y: float, across: Scale, right: float) -> Svg:
    x = across.end + 24
    room = right - x
    return element(
        "g",
        _leader(each, end, y, across, x) if each.steps else Svg(""),
        label(x, y + 3, each.name, fill=each.colour, room=room),
        label(x, y + 16, each.status, size=11, fill=SOFT if each.alarm is None else INK, room=room),
    )


def _leader(each: Line, end: float, y: float, across: Scale, x: float) -> Svg:
    """From the last point to the name; dotted across the steps that the series does not reach."""
    last = across(each.steps[-1])
    stops = [(across.end + 3, end), (x - 5, y)]
    early = last < across.end - 3
    path = "M" + "L".join(f"{coordinate(a)} {coordinate(b)}" for a, b in ([(last + 4, end)] if early else []) + stops)
    return element(
        "path", d=path, fill="none", stroke=each.colour, stroke_opacity=0.6, stroke_dasharray="1 3" if early else None
    )
