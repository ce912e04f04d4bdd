"""Which series share a panel, on which scale: the decisions behind the picture of a run."""

import math
from collections.abc import Sequence

from darklantern.drawing.ink import INSIDE, NEUTRAL, OUTSIDE
from darklantern.drawing.panels import Line, Panel
from darklantern.drawing.scales import number, ticks, whole
from darklantern.records.findings import Series

_ROLES = {
    "signal": ("Signals inside the model", INSIDE, None),
    "behaviour": ("Behavioural monitors", OUTSIDE, "6 4"),
    "statistic": ("Training statistics", NEUTRAL, "2 3"),
    "loss": ("Loss", NEUTRAL, None),
    "truth": ("Truth", NEUTRAL, None),
}


def panels_of(series: Sequence[Series]) -> list[Panel]:
    """Multiples of thresholds first, so that the race is on top; then truth; then the rest, each alone."""
    panels: list[Panel] = []
    racing = [each for each in series if each.role != "truth" and (each.threshold or 0) > 0]
    everything = [value / (each.threshold or 1) for each in racing for value in each.values]
    for role in ("signal", "behaviour", "statistic", "loss"):
        chosen = [each for each in racing if each.role == role]
        if chosen:
            panels.append(_race(role, chosen, everything, first=not panels))
    truths = [each for each in series if each.role == "truth" and all(0 <= value <= 1 for value in each.values)]
    if truths:
        lines = tuple(_line(each, i, 1.0, filled=True) for i, each in enumerate(truths))
        panels.append(Panel("Truth", "known to the experimenter, not to the watch", lines, 0, 1, (0, 0.5, 1), 64))
    return panels + [_alone(each) for each in series if each not in racing and each not in truths]


def _race(role: str, chosen: Sequence[Series], everything: Sequence[float], *, first: bool) -> Panel:
    low, high = min([0.0, *everything]), max([1.0, *everything])
    bent = max(-low, high) > 4
    high += 0.06 * (high - low)
    note = "as multiples of each one's alarm threshold" + (", logarithmic far from it" if bent else "")
    return Panel(
        _ROLES[role][0],
        note if first else "on the same scale",
        tuple(_line(each, i, each.threshold or 1.0) for i, each in enumerate(chosen)),
        low,
        high,
        _bent_ticks(low, high) if bent else ticks(low, high, 3),
        132,
        alarm_at=1.0,
        bend=math.asinh if bent else float,
    )


def _bent_ticks(low: float, high: float) -> tuple[float, ...]:
    decades = math.ceil(math.log10(max(-low, high)))
    every = max(1, math.ceil(decades / 3))
    powers = [10.0**n for n in range(0, decades + 1, every)]
    between = [3.0 * power for power in powers] if decades <= 2 else []
    sizes = sorted({*powers, *between})
    return tuple(tick for tick in (*(-size for size in reversed(sizes)), 0.0, *sizes) if low <= tick <= high)


def _alone(each: Series) -> Panel:
    heading_, _, _ = _ROLES[each.role]
    values = [*each.values, *([] if each.threshold is None else [each.threshold])]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    pad = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return Panel(
        heading_,
        each.unit or "own scale",
        (_line(each, 0, 1.0, filled=each.role == "truth"),),
        low - pad,
        high + pad,
        ticks(low - pad, high + pad, 2),
        56,
        alarm_at=each.threshold,
    )


def _line(each: Series, index: int, unit: float, *, filled: bool = False) -> Line:
    _, colours, dash = _ROLES[each.role]
    values = tuple(value / unit for value in each.values)
    colour = colours[index % len(colours)]
    return Line(each.name, each.steps, values, _status(each), each.alarm, colour, None if filled else dash, filled)


def _status(each: Series) -> str:
    if not each.steps:
        return "no values yet"
    if each.alarm is not None:
        return f"alarm at {whole(each.alarm)}"
    return f"{number(each.values[-1])} at the end" if each.threshold is None else "no alarm"
