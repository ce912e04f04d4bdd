"""Colours: named inks that can be read on white, hues that colour-blind readers can tell apart, ramps.

Every colour that text is set in keeps a contrast of at least 4.5:1 on white (WCAG 2.2, 1.4.3).
"""

from collections.abc import Sequence

INK = "#1b2430"
SOFT = "#586170"
RULE = "#e4e8ed"
AXIS = "#a7b0bb"
ALARM = "#b3261e"
MAIN = "#1a5fb4"
CONTROL = "#848d99"
MASKED = "#b4bac3"
"""a cell that holds no number because a mask forbids it: grey, which neither ramp passes through"""

# Inside the model is cool, outside is warm, so that the two sides of the race are told apart at a
# glance. Within a side the hues were searched for the largest distance under simulated protanopia,
# deuteranopia and tritanopia (tests/drawing/test_ink.py measures it); a fifth series starts again.
INSIDE = ("#206bf2", "#066c5a", "#6c0da1", "#1d2e4a")
OUTSIDE = ("#b65811", "#98067f", "#5a1e04", "#5f4c14")
NEUTRAL = ("#414b57", "#6d7682", "#7a4a1e")

DARK = {
    "#ffffff": "#12171e",  # paper
    INK: "#e6ebf1",
    SOFT: "#9aa5b4",
    RULE: "#262e38",
    AXIS: "#5b6777",
    ALARM: "#ff7a70",
    MAIN: "#6ea3ff",
    CONTROL: "#8a94a3",
    **dict(zip(INSIDE, ("#6ea3ff", "#3cc9ab", "#cf8cff", "#b7c7e6"), strict=True)),
    **dict(zip(OUTSIDE, ("#f39a52", "#ff7fe4", "#d99a7a", "#d6bd63"), strict=True)),
    **dict(zip(NEUTRAL, ("#b3bdca", "#8f9aa8", "#c79a6b"), strict=True)),
}
"""each ink as it is on a dark page: what carries text keeps 4.5:1 there too"""

# 0 is always the near-white end, so that an empty cell looks empty in both ramps.
_UP = ("#f6f7f9", "#c9dcf2", "#86b4e3", "#3d82c9", "#0d5297", "#062c5e")
_DOWN = ("#f6f7f9", "#f9d9b8", "#f0ab68", "#d97820", "#a34d06", "#622a00")


def dark_rules() -> str:
    """Style rules that turn the inks of curves and sparklines for a dark page: for a document that has a style."""
    return "".join(f'[{what}="{ink}"]{{{what}:{dark}}}' for ink, dark in DARK.items() for what in ("fill", "stroke"))


def ramp(share: float) -> str:
    """The colour of `share` in [-1, 1]: orange below zero, near-white at zero, blue above."""
    stops = _UP if share >= 0 else _DOWN
    place = min(abs(share), 1.0) * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    return _mix(stops[index], stops[index + 1], place - index)


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio of two `#rrggbb` colours, from 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _mix(one: str, other: str, share: float) -> str:
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> Sequence[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
