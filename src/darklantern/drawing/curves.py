"""The race of a training run: signals from inside, behaviour from outside, and the truth, step by step."""

from collections.abc import Sequence
from itertools import pairwise

from darklantern.drawing import checks
from darklantern.drawing.flags import flags_of, labels, poles, rollbacks
from darklantern.drawing.frame import EDGE, HEADED, WIDE, document, heading, label, line
from darklantern.drawing.ink import AXIS, INK, SOFT
from darklantern.drawing.lettering import width
from darklantern.drawing.markup import Svg, element
from darklantern.drawing.panels import HEAD, draw
from darklantern.drawing.race import panels_of
from darklantern.drawing.scales import Scale, ticks, whole
from darklantern.errors import RecordError
from darklantern.records.findings import Event, Series

MOST_SERIES = 24
MOST_EVENTS = 24
_LEFT = EDGE + 44
_RIGHT = 236.0  # room for names at line ends, and for the flag of an event at the last step
_BETWEEN = 14.0


def curves(series: Sequence[Series], events: Sequence[Event] = (), *, title: str = "Training run") -> Svg:
    """Draw how a run went: who raised the alarm, and when.

    Each series with a threshold above zero is drawn as a multiple of it, so that all of one role share
    a panel and one alarm line at 1; those without get a small panel in their own unit. Truth that stays
    within 0 and 1 is a grey area. Where steps go back (a rollback), what was undone is faded. A
    multiple beyond 4 bends the scale: straight near the alarm line, logarithmic far above.

    Raises RecordError for nothing to draw, too much to read, steps and values of different lengths,
    NaN or infinity, or an alarm outside the steps of its series.
    """
    # 1. Refuse what cannot be drawn honestly.
    checks.something("series", series)
    checks.at_most(MOST_SERIES, "series", series)
    checks.at_most(MOST_EVENTS, "events", events)
    for each in series:
        _check(each)
    steps = [step for each in series for step in each.steps] + [event.step for event in events]
    checks.something("steps", steps)
    checks.finite("the steps", steps, limit=1e15)

    # 2. Lay out from the top: heading, flags of the events, panels, axis.
    across = Scale(min(steps), max(steps), _LEFT, WIDE - _RIGHT)
    flags = flags_of(events, across)
    undone = sorted({(one, two) for each in series for one, two in pairwise(each.steps) if two < one})[:MOST_EVENTS]
    undone = [(left, _restored(again, events)) for left, again in undone]
    arrows = max((flag.y for flag in flags), default=HEADED - 12) + 13
    y = arrows + (10 if undone else 0)
    bands: list[Svg] = []
    for panel in panels_of(series):
        bands += draw(panel, y, across, WIDE - EDGE)
        y += HEAD + panel.height + _BETWEEN
    bottom = y - _BETWEEN

    # 3. Poles go under the curves, flags above everything.
    lead = _lead(series)
    return document(
        "curves",
        (WIDE, bottom + 58),
        title,
        f"{lead} Series: {', '.join(each.name for each in series)}.",
        [
            heading(title, lead, WIDE),
            *poles(flags, bottom),
            *bands,
            *_axis(across, bottom),
            *_bracket(series, across, bottom + 26),
            *labels(flags),
            *rollbacks(undone, across, arrows),
        ],
    )


def _check(each: Series) -> None:
    if len(each.steps) != len(each.values):
        raise RecordError(
            f"expected as many steps as values in {each.name!r}, got {len(each.steps)} and {len(each.values)}",
            hint="a series pairs each value with the training step it was measured at",
        )
    checks.finite(f"series {each.name!r}", each.values)
    checks.finite(f"the threshold of {each.name!r}", [each.threshold or 0.0])
    checks.finite(f"{each.name!r} over its threshold", [value / (each.threshold or 1.0) for value in each.values])
    if each.alarm is not None and each.steps and not min(each.steps) <= each.alarm <= max(each.steps):
        raise RecordError(
            f"expected the alarm of {each.name!r} within its steps {min(each.steps)}–{max(each.steps)}, "
            f"got {each.alarm}",
            hint="an alarm is the step at which the series itself crossed its threshold",
        )


def _restored(again: int, events: Sequence[Event]) -> int:
    """The step that a rollback went back to: as its event says, which comes before the next look at `again`."""
    return max((event.step for event in events if event.label == "rollback" and event.step <= again), default=again)


def _axis(across: Scale, bottom: float) -> list[Svg]:
    wide = width(whole(across.high), 11)
    made = [
        line(across.start, bottom, across.end, bottom, AXIS),
        label(across.end + max(24.0, wide / 2 + 12), bottom + 18, "training step", size=11, fill=SOFT),
    ]
    for tick in ticks(across.low, across.high, max(1, min(8, int((across.end - across.start) / (wide + 28))))):
        if tick == int(tick):
            made.append(line(across(tick), bottom, across(tick), bottom + 5, AXIS))
            made.append(label(across(tick), bottom + 18, whole(tick), size=11, fill=SOFT, anchor="middle"))
    return made


# The lead: the sentence and the bracket of the picture


def _first(series: Sequence[Series], role: str) -> int | None:
    return min((each.alarm for each in series if each.role == role and each.alarm is not None), default=None)


def _bracket(series: Sequence[Series], across: Scale, y: float) -> list[Svg]:
    """Under the axis, from the first alarm inside to the first outside, when inside was earlier."""
    inside, outside = _first(series, "signal"), _first(series, "behaviour")
    if inside is None or outside is None or inside >= outside:
        return []
    x1, x2 = across(inside), across(outside)
    shape = f"M{x1:.2f} {y:.2f}v5H{x2:.2f}v-5"
    text = f"{_count(outside - inside)} ahead"
    half = width(text, 11, bold=True) / 2
    middle = min(max((x1 + x2) / 2, across.start + half), across.end - half)
    return [
        element("path", d=shape, fill="none", stroke=INK, stroke_width=1.25),
        label(middle, y + 19, text, size=11, anchor="middle", weight="600"),
    ]


def _lead(series: Sequence[Series]) -> str:
    """Which side raised the first alarm, and by how many steps."""
    inside, outside = _first(series, "signal"), _first(series, "behaviour")
    if inside is None and outside is None:
        return "No alarm in this run."
    if inside is None:
        return f"A behavioural monitor raised the first alarm, at step {outside}; no signal inside the model did."
    if outside is None:
        return f"A signal inside the model raised the first alarm, at step {inside}; no behavioural monitor did."
    if inside == outside:
        return f"Signals inside the model and behavioural monitors raised their first alarms at step {inside}."
    sides = ["a signal inside the model", "any behavioural monitor"]
    if inside > outside:
        sides = ["a behavioural monitor", "any signal inside the model"]
    first = f"{sides[0].capitalize()} raised the first alarm, at step {min(inside, outside)}"
    return f"{first}, {_count(abs(inside - outside))} before {sides[1]}."


def _count(steps: int) -> str:
    return f"{steps} step" if steps == 1 else f"{steps} steps"
