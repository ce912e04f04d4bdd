"""Pictures of the room: leads as dots with intervals, power against rate, cadence against lead, curves of two runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from darklantern.drawing import Svg, curves
from darklantern.drawing.frame import EDGE, HEADED, WIDE, document, heading, label, line, stacked
from darklantern.drawing.ink import AXIS, CONTROL, INK, INSIDE, RULE, SOFT
from darklantern.drawing.lettering import width
from darklantern.drawing.markup import coordinate, element
from darklantern.drawing.placing import spread
from darklantern.drawing.scales import Scale, number, tick_labels, ticks
from darklantern.records.findings import Event, Series
from darklantern.watch import Signal
from darklantern.watch.judging import detectors
from watching import judging
from watching.figures import Figures, monitors
from watching.judging import Judged
from watching.running import Ran

_ROW = 26.0
_DOT = 4.5
MOST = 4
"""curves of either side in the picture of a run"""


@dataclass(frozen=True)
class Dot:
    """A median with its interval; `runs` are drawn faintly behind it."""

    name: str
    value: float
    interval: tuple[float, float]
    runs: Sequence[float] = ()
    said: str = ""


@dataclass(frozen=True)
class Track:
    """Points (x, y) of one line, each with an interval of y."""

    name: str
    points: Sequence[tuple[float, float]]
    intervals: Sequence[tuple[float, float]]


def dots(items: Sequence[Dot], title: str, note: str, unit: str) -> Svg:
    """A row for each item: runs as rings, the median as a dot on its interval, zero as a line."""
    reach = [0.0, *(value for each in items for value in (*each.interval, *each.runs, each.value))]
    names = min(max(width(each.name, 12) for each in items), 260.0)
    says = min(max(width(each.said, 11) for each in items), 250.0)
    pad = 0.03 * (max(reach) - min(reach) or 1.0)
    across = Scale(min(reach) - pad, max(reach) + pad, EDGE + names + 14, WIDE - EDGE - says - 14)
    bottom = HEADED + 6 + _ROW * len(items)
    marks = ticks(across.low, across.high, 6)
    parts = [heading(title, note, WIDE)]
    for tick, text in zip(marks, tick_labels(marks), strict=True):
        parts.append(line(across(tick), HEADED, across(tick), bottom, RULE))
        parts.append(label(across(tick), bottom + 17, text, size=11, fill=SOFT, anchor="middle"))
    parts.append(label(across.end + 14, bottom + 17, unit, size=11, fill=SOFT, room=says))
    parts.append(line(across(0), HEADED, across(0), bottom, INK, 1.25))
    for i, each in enumerate(items):
        y = HEADED + 6 + (i + 0.5) * _ROW
        low, high = (across(end) for end in each.interval)
        parts.append(label(EDGE + names, y + 4, each.name, anchor="end", room=names))
        rings = [
            element("circle", cx=across(value), cy=y, r=3, fill="none", stroke=CONTROL, stroke_opacity=0.55)
            for value in each.runs
        ]
        parts += [*rings, line(low, y, high, y, INSIDE[0], 2.5)]
        parts.append(element("circle", cx=across(each.value), cy=y, r=_DOT, fill=INSIDE[0]))
        parts.append(label(across.end + 14, y + 4, each.said, size=11, fill=SOFT, room=says))
    told = " ".join(f"{each.name}: {number(each.value)} {unit}." for each in items)
    return document("dots", (WIDE, bottom + 34), title, f"{note} {told}", parts)


def lines(tracks: Sequence[Track], title: str, note: str, x: str, y: str, levels: tuple[float, ...] = ()) -> Svg:
    """Lines over an axis x in logarithms, each named at its end; `levels` are drawn across."""
    xs = sorted({point[0] for track in tracks for point in track.points})
    reach = [0.0, *(end for track in tracks for pair in track.intervals for end in pair), *levels]
    names = min(max(width(track.name, 12) for track in tracks), 230.0)
    across = Scale(xs[0] / 1.15, xs[-1] * 1.15, EDGE + 52, WIDE - EDGE - names - 30, math.log)
    low, high = min(reach), max(reach)
    up = Scale(low, high + 0.04 * (high - low), HEADED + 260, HEADED + 16)
    parts = [heading(title, note, WIDE), label(EDGE, HEADED + 4, y, size=11, fill=SOFT)]
    marks = ticks(up.low, up.high, 5)
    for tick, text in zip(marks, tick_labels(marks), strict=True):
        parts.append(line(across.start, up(tick), across.end, up(tick), AXIS if tick == 0 else RULE))
        parts.append(label(across.start - 8, up(tick) + 4, text, size=11, fill=SOFT, anchor="end"))
    parts += [line(across.start, up(level), across.end, up(level), CONTROL, 1, "4 4") for level in levels]
    for mark in xs:
        parts.append(label(across(mark), up.start + 18, number(mark), size=11, fill=SOFT, anchor="middle"))
    parts.append(label(across.end + 24, up.start + 18, x, size=11, fill=SOFT))
    ends = spread([up(track.points[-1][1]) for track in tracks], 16, up.end, up.start)
    for i, (track, end) in enumerate(zip(tracks, ends, strict=True)):
        colour = INSIDE[i % len(INSIDE)]
        shift = 3.0 * (i - (len(tracks) - 1) / 2)  # so that intervals of several lines at one x can be told apart
        points = [(across(px) + shift, up(py)) for px, py in track.points]
        path = "M" + "L".join(f"{coordinate(px)} {coordinate(py)}" for px, py in points)
        dash = (None, "6 3", "2 3", "8 3 2 3")[i // len(INSIDE) % 4]
        parts.append(element("path", d=path, fill="none", stroke=colour, stroke_width=2, stroke_dasharray=dash))
        for (px, py), (below, above) in zip(points, track.intervals, strict=True):
            parts.append(line(px, up(below), px, up(above), colour, 1))
            parts.append(element("circle", cx=px, cy=py, r=3.5, fill=colour))
        parts.append(line(points[-1][0] + 6, points[-1][1], across.end + 20, end, colour, 0.75))
        parts.append(label(across.end + 24, end + 4, track.name, fill=colour, room=names))
    return document("lines", (WIDE, up.start + 40), title, note, parts)


def leads(found: Sequence[Figures]) -> Svg | None:
    """The joint statistics' leads at the headline rate, experiment by experiment; None where no monitor ever rose."""
    items = []
    for each in found:
        for tier in each.tiers:
            joint = each.joint(tier)
            if joint is None or joint.race.summary is None:
                continue
            summary = joint.race.summary
            window = each.experiment.end - each.experiment.onset
            runs = [lead / window for lead in joint.race.leads if lead is not None]
            items.append(
                Dot(
                    f"{each.experiment.name} {each.experiment.title}, {tier}",
                    summary.median / window,
                    (summary.low / window, summary.high / window),
                    runs,
                    f"{summary.median:g} steps; {joint.hits} of {joint.of} hit",
                )
            )
    if not items:
        return None
    note = "right of zero the watch was first; rings are runs, dots their median with its 95 % bootstrap interval"
    return dots(items, "Lead over the best behavioural monitor of the same tier", note, "of onset to end")


def power(found: Sequence[Figures]) -> Svg | None:
    """Hits against the share of poisoned rows, of each experiment that has several; None where none has."""
    tracks = []
    for each in found:
        if len(each.experiment.rates) < 2:
            continue
        for tier in each.tiers:
            at = sorted((p for p in each.powers if p.tier == tier and p.arm == "poisoned"), key=lambda p: p.rate)
            points = [(100 * p.rate, p.hits / p.of) for p in at]
            tracks.append(Track(f"{each.experiment.name}, {tier}", points, [p.interval for p in at]))
    if not tracks:
        return None
    note = "at 5 % false alarms a run; Clopper–Pearson intervals; dashed: what half and .95 of the runs are"
    return lines(tracks, "Poisoned runs that are found", note, "% of rows", "share of runs", (0.5, 0.95))


def cadence(found: Sequence[Figures]) -> Svg | None:
    """Lead against steps between looks, as a share of the window; None where nothing was led or missed."""
    tracks = []
    for each in found:
        window = each.experiment.end - each.experiment.onset
        for tier in each.tiers:
            rows = [(every, lead.race.summary) for every, row in each.cadence.items() for lead in row
                    if lead.tier == tier and lead.race.summary]  # fmt: skip
            points = [(every, s.median / window) for every, s in rows]
            intervals = [(s.low / window, s.high / window) for _, s in rows]
            if points:
                tracks.append(Track(f"{each.experiment.name}, {tier}", points, intervals))
    if not tracks:
        return None
    note = "the same runs with fewer of their looks; monitors look as seldom; 95 % bootstrap intervals of the median"
    return lines(tracks, "Lead against cadence", note, "steps a look", "lead, of onset to end")


def two_runs(made: Figures, poisoned: tuple[Ran, Judged], clean: tuple[Ran, Judged]) -> Svg:
    """The statistics of a poisoned run above those of a clean one, each as multiples of its own threshold."""
    experiment = made.experiment
    names = _drawn(made, poisoned[1])
    pictures = [
        curves(
            _series(made, ran, judged, names),
            [Event(step=experiment.onset, label="onset")] if arm == "poisoned" and experiment.onset else [],
            title=f"{experiment.name} {experiment.title}: a {arm} run",
        )
        for arm, (ran, judged) in (("poisoned", poisoned), ("clean", clean))
    ]
    return stacked(pictures, f"{experiment.name}: a poisoned run and a clean one")


def _drawn(made: Figures, judged: Judged) -> list[Signal]:
    """The signals and monitors that rise highest in a run, `MOST` of each."""
    top = made.tiers[-1] if made.tiers else "I1"
    sides = (
        [s for s in made.signals if judging.shares(s, top)],
        [s for s in made.signals if s.name in monitors(made.signals, top)],
    )
    return [s for side in sides for s in sorted(side, key=lambda s: -judged.maxima[s.name])[:MOST]]


def _series(made: Figures, ran: Ran, judged: Judged, signals: Sequence[Signal]) -> list[Series]:
    top = made.tiers[-1] if made.tiers else "I1"
    references = made.frozen.references(top)
    limits = detectors.limits(references, references.recipe, references.data, made.frozen.alpha)
    held = {reference.name: reference for reference in references.signals}
    found = judging.contrasts(ran, signals)
    series = [
        Series(
            name=signal.name,
            role=signal.role,
            tier=signal.tier,
            steps=tuple(ran.steps),
            values=tuple(detectors.statistics(held[signal.name], found[signal.name])),
            threshold=limits["joint" if judging.shares(signal, top) else signal.name].value,
        )
        for signal in signals
    ]
    told = [_alarmed(each) for each in series]
    truth = Series(name="overt behaviour", role="truth", steps=tuple(ran.steps), values=tuple(ran.overt))
    return [*told, truth]


def _alarmed(each: Series) -> Series:
    import msgspec

    assert each.threshold is not None
    return msgspec.structs.replace(each, alarm=detectors.first_crossing(each.steps, each.values, each.threshold))
