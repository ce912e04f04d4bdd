"""The five levels as steps: which are still open, and which one to act on."""

from darklantern.drawing.frame import EDGE, HEADED, PAPER, document, heading, label, line
from darklantern.drawing.ink import AXIS, INK, SOFT
from darklantern.drawing.markup import Svg, element
from darklantern.errors import AssessmentError
from darklantern.records.assessments import LEVEL_NAMES, LEVELS, Level

_WIDE = 760.0
_STEP = (_WIDE - 2 * EDGE) / len(LEVELS)
_RISE = 22.0
_AUDIENCE = {
    "V0": ("public",),
    "V1": ("all vetted members",),
    "V2": ("named organisations",),
    "V3": ("named persons",),
    "V4": ("the originator; others", "by metered query"),
}
_CLOSED, _OPEN, _ACT = "#eef1f4", "#c9dcf2", "#0d5297"


def level_ladder(lowest: Level, operate: Level, *, title: str = "Level") -> Svg:
    """Draw V0 to V4 as a stair: `lowest` to `operate` is what the answers leave open, `operate` is acted on.

    Raises AssessmentError for an unknown level, or a range that ends before it starts.
    """
    if lowest not in LEVELS or operate not in LEVELS or lowest > operate:
        raise AssessmentError(
            f"expected lowest ≤ operate among {', '.join(LEVELS)}, got {lowest!r} and {operate!r}",
            hint="operate is the closed end of the range: the highest level that the answers leave open",
        )
    says = _says(lowest, operate)
    base = HEADED + 34 + _RISE * len(LEVELS)
    steps = [_step(i, level, base, lowest, operate) for i, level in enumerate(LEVELS)]
    return document(
        "level-ladder",
        (_WIDE, base + 62),
        title,
        says,
        [heading(title, says, _WIDE), *steps, line(EDGE, base, _WIDE - EDGE, base, AXIS)],
    )


def _says(lowest: Level, operate: Level) -> str:
    if lowest == operate:
        return f"The answers settle on {operate} {LEVEL_NAMES[operate]}."
    until = f"Until more is known, act on {operate} {LEVEL_NAMES[operate]}."
    return f"The answers leave {lowest} to {operate} open. {until}"


def _step(i: int, level: Level, base: float, lowest: Level, operate: Level) -> Svg:
    x, high = EDGE + i * _STEP, _RISE * (i + 1)
    acted, still_open = level == operate, lowest <= level <= operate
    middle = x + _STEP / 2
    paint = _ACT if acted else _OPEN if still_open else _CLOSED
    strong = INK if still_open else SOFT
    flag = [label(middle, base - high - 8, "act on this", fill=_ACT, weight="600", anchor="middle")] if acted else []
    return element(
        "g",
        element("rect", x=x + 1.5, y=base - high, width=_STEP - 3, height=high, fill=paint),
        label(middle, base - high + 16, level, fill=PAPER if acted else strong, weight="600", anchor="middle"),
        *flag,
        label(middle, base + 19, LEVEL_NAMES[level], fill=strong, weight="600", anchor="middle"),
        *(
            label(middle, base + 35 + 14 * n, text, size=11, fill=SOFT, anchor="middle")
            for n, text in enumerate(_AUDIENCE[level])
        ),
        class_="dl-level dl-operate" if acted else "dl-level dl-open" if still_open else "dl-level",
    )
