"""Rows of text whose tokens are tinted by a number each: where in a text something is strong."""

from collections.abc import Sequence
from dataclasses import dataclass

from darklantern.drawing import checks
from darklantern.drawing.frame import EDGE, HEADED, PAPER, WIDE, document, heading, label
from darklantern.drawing.ink import SOFT, ramp
from darklantern.drawing.lettering import clean, shorten, visible, width
from darklantern.drawing.markup import Svg, element
from darklantern.drawing.scales import number
from darklantern.errors import RecordError

MOST_ROWS = 64
MOST_TOKENS = 64
_TALL = 21.0
_SIZE = 11.0
_LEFT = EDGE + 60.0
_ELLIPSIS = 16.0
_ROOM = WIDE - EDGE - _LEFT - 2 * _ELLIPSIS
_WIDEST = 160.0
_TINT = 0.5
"""how far up its ramp the strongest token goes: darker, and ink could not be read on it"""


@dataclass(frozen=True, slots=True)
class Row:
    """A text in tokens, a number for each, and which of them the row is about; `head` begins a new group of rows."""

    tokens: Sequence[str]
    values: Sequence[float]
    peak: int
    head: str = ""


def spans(rows: Sequence[Row], *, title: str, says: str = "", notes: Sequence[str] = (), floor: float = 0.0) -> Svg:
    """Draw `rows` one below the other, tokens on blue above zero and on orange below; at the left the peak's number.

    What is weaker than `floor` leaves the paper white. Where a row is too long, tokens furthest from its peak go, and
    an ellipsis stands for them. Raises RecordError for no rows, too many, or numbers that are none.
    """
    checks.something("rows", rows)
    checks.at_most(MOST_ROWS, "rows", rows)
    for each in rows:
        _check(each)
    limit = max(abs(value) for each in rows for value in each.values) or 1.0
    parts: list[Svg] = []
    top = HEADED
    for each in rows:
        if each.head:
            parts.append(label(EDGE, top + 19, each.head, size=11, fill=SOFT, room=WIDE - 2 * EDGE))
            top += 26
        parts.append(_row(each, top, limit, floor))
        top += _TALL
    for i, note in enumerate(notes):
        parts.append(label(EDGE, top + 22 + i * 17, note, size=11, fill=SOFT, room=WIDE - 2 * EDGE))
    tall = top + 20 + 17.0 * len(notes)
    return document("spans", (WIDE, tall), title, " ".join([says, *notes]), [heading(title, says, WIDE), *parts])


def _check(each: Row) -> None:
    checks.at_most(MOST_TOKENS, "tokens in a row", each.tokens)
    checks.finite("a row of tokens", each.values)
    if len(each.tokens) != len(each.values) or not 0 <= each.peak < len(each.tokens):
        raise RecordError(
            f"expected a number for each of {len(each.tokens)} tokens and one of them as peak, "
            f"got {len(each.values)} numbers and peak {each.peak}",
            hint="peak counts from 0",
        )


def _row(each: Row, top: float, limit: float, floor: float) -> Svg:
    texts = [_shown(token) for token in each.tokens]
    wide = [width(text, _SIZE) + 5 for text in texts]
    first, last = _fitting(wide, each.peak)
    x = _LEFT
    made = [label(x - 10, top + 13.5, number(each.values[each.peak]), size=11, fill=SOFT, anchor="end", room=50)]
    if first:
        made.append(label(x, top + 13.5, "…", size=11, fill=SOFT))
        x += _ELLIPSIS
    for place in range(first, last):
        value = each.values[place]
        paper = ramp(_TINT * value / limit) if abs(value) > floor else PAPER
        made.append(_token(texts[place], f"{visible(each.tokens[place])}: {number(value)}", paper, x, top, wide[place]))
        x += wide[place]
    if last < len(texts):
        made.append(label(x + 2, top + 13.5, "…", size=11, fill=SOFT))
    return element("g", *made)


def _fitting(wide: Sequence[float], peak: int) -> tuple[int, int]:
    """The tokens around the peak that fit into a row, the nearer first."""
    first, last, left = peak, peak + 1, _ROOM - wide[peak]
    for place in sorted(range(len(wide)), key=lambda place: abs(place - peak))[1:]:
        left -= wide[place]
        if left < 0:
            break
        first, last = min(first, place), max(last, place + 1)
    return first, last


def _token(text: str, told: str, paper: str, x: float, top: float, wide: float) -> Svg:
    return element(
        "g",
        element("title", told),
        element("rect", x=x, y=top, width=wide - 1, height=_TALL - 3, rx=2, fill=paper),
        label(x + 2, top + 13.5, text, size=_SIZE),
    )


def _shown(token: str) -> str:
    """Without the space that most words begin with: tokens stand apart anyway."""
    bare = token.removeprefix(" ") or token
    return shorten(clean(visible(bare)), _SIZE, _WIDEST)
