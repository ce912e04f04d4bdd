"""Matrices as they came out of a model: one large, or several side by side on one scale of colours."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from darklantern.drawing import checks
from darklantern.drawing.axes import Axis, beneath, beside, quoted
from darklantern.drawing.frame import EDGE, HEADED, PAPER, WIDE, document, heading, label
from darklantern.drawing.ink import ALARM, INK, MASKED, RULE, SOFT, ramp
from darklantern.drawing.key import BAR, key, swatches
from darklantern.drawing.lettering import visible, width
from darklantern.drawing.markup import Svg, element
from darklantern.drawing.scales import number
from darklantern.errors import RecordError

MOST_CELLS = 20_000
MOST_FIELDS = 64
TOLD = 2_500
"""cells with a tooltip of their own; more would make a picture of megabytes"""
_SHADES = 48
"""each way from zero, where cells of one shade are drawn together"""
_GAP = 22.0
_LETTERS = 20.0
"""pixels: narrower cells hold no text"""
_SMALL = 7.5
"""letters that can still be read"""
_NAME = 20.0
_NOTE = 17.0
_PER_ROW = (8, 6, 5, 4, 3, 2, 1)


@dataclass(frozen=True, slots=True)
class Field:
    """One matrix. −∞ is a cell that a mask forbids; NaN and +∞ are drawn as what they are."""

    name: str
    values: Sequence[Sequence[float]]
    texts: Sequence[Sequence[str]] = ()
    """what stands in each cell, where there is room for some letters; nothing, or as many as values"""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Pixels: of a cell, of the labels at the left, and how many fields stand in a row."""

    wide: float
    tall: float
    left: float
    per_row: int
    named: bool
    """each field bears its name"""


def fields(
    shown: Sequence[Field],
    rows: Axis,
    columns: Axis,
    *,
    title: str,
    says: str = "",
    notes: Sequence[str] = (),
    limit: float | None = None,
    square: bool = False,
    told: int = TOLD,
) -> Svg:
    """Draw `shown`, all of the same rows and columns: blue above zero, orange below, near-white at zero.

    Values stronger than `limit` are as dark as it; without it the strongest is the limit. `says` is the line under
    the title, `notes` stand at the foot. `square` is for cells as wide as tall: positions by positions, pixels.
    Up to `told` cells, each tells its value when hovered over.

    Raises RecordError for nothing, for fields that differ in shape, and for more than can be told apart.
    """
    # 1. Refuse what is no set of matrices of one shape.
    _check(shown, rows, columns)
    flat = [value for field in shown for row in field.values for value in row]
    finite = [value for value in flat if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    strongest = max(-low, high)
    limit = limit or strongest or 1.0

    # 2. Lay out: names at the left and at the foot of the whole, not of each.
    layout = _layout(len(shown), rows, columns, square)
    parts: list[Svg] = []
    top, deepest = HEADED, 0.0
    count = layout.per_row
    for first in range(0, len(shown), count):
        top = max(top, deepest + 8) + _NAME
        bottom = top + layout.tall * len(rows.numbers)
        parts.append(label(layout.left - 8, top - 9, rows.name, size=10, fill=SOFT, anchor="end"))
        parts += beside(rows, layout.left, layout.tall, top) if rows.name else []
        deepest = bottom
        for place, field in enumerate(shown[first : first + count]):
            left = layout.left + place * (layout.wide * len(columns.numbers) + _GAP)
            parts += _field(field, left, top, layout, rows, columns, limit, len(flat) <= told)
            if first + place + count >= len(shown):  # nothing stands below it
                letters = 12.0 if len(shown) == 1 else 10.0
                under, below = beneath(columns, left, layout.wide, bottom, named=place == 0, letters=letters)
                parts += under
                deepest = max(deepest, below)

    # 3. What the colours mean, and what the reader must know.
    foot = deepest + 14
    masked = any(value == -math.inf for value in flat)
    odd = sum(map(_is_odd, flat))
    items = [(ALARM, f"NaN or ∞, crossed: {odd}")] * bool(odd) + [(MASKED, "masked (−∞)")] * masked
    across = count * (layout.wide * len(columns.numbers) + _GAP) - _GAP
    right = min(max(layout.left + across, 0.64 * WIDE), WIDE - EDGE)
    parts += key(low, high, limit, "", right, foot, stronger=strongest > limit)
    parts += swatches(items, right - BAR - 26, foot)
    aside = BAR + 26 + sum(width(text, 11) + 32 for _, text in items)
    # Notes stand beside the colour bar if they fit there, else below it.
    start = 0.0 if all(width(note, 11) <= right - EDGE - aside for note in notes[:2]) else 36.0
    for i, note in enumerate(notes):
        parts.append(label(EDGE, foot + start + 9 + i * _NOTE, note, size=11, fill=SOFT, room=WIDE - 2 * EDGE))
    return document(
        "fields",
        (WIDE, foot + max(34.0, start + _NOTE * len(notes) + 10)),
        title,
        " ".join([says, *notes]),
        [heading(title, says, WIDE), *parts],
    )


def _check(shown: Sequence[Field], rows: Axis, columns: Axis) -> None:
    checks.something("fields", shown)
    checks.something("rows", rows.numbers)
    checks.something("columns", columns.numbers)
    checks.at_most(MOST_FIELDS, "fields", shown)
    shape = (len(rows.numbers), len(columns.numbers))
    if shape[0] * shape[1] * len(shown) > MOST_CELLS:
        raise RecordError(
            f"expected at most {MOST_CELLS} cells in one picture, got {len(shown)} × {shape[0]} × {shape[1]}",
            hint="pool the values first, or draw a part of them",
        )
    for field in shown:
        # The last row may end early, as a last line does.
        lengths = [len(row) for row in field.values]
        last = lengths.pop() if shape[0] > 1 and len(lengths) == shape[0] else shape[1]
        if len(field.values) != shape[0] or set(lengths) != {shape[1]} or not 0 < last <= shape[1]:
            raise RecordError(
                f"expected {shape[0]} rows of {shape[1]} values in {field.name!r}, "
                f"got {[len(row) for row in field.values][:8]}",
                hint="all fields of a picture share their rows and columns",
            )
        if field.texts and [*map(len, field.texts)] != [*map(len, field.values)]:
            raise RecordError(
                f"expected a text for each value of {field.name!r}, got {[*map(len, field.texts)][:8]} in its rows",
                hint="or no texts at all",
            )
        for row in field.values:
            checks.finite(f"field {field.name!r}", [value for value in row if math.isfinite(value)])
    for axis in (rows, columns):
        if axis.texts and len(axis.texts) != len(axis.numbers):
            raise RecordError(
                f"expected a text for each of {len(axis.numbers)} cells along {axis.name}, got {len(axis.texts)}",
                hint="or no texts at all",
            )


def _layout(count: int, rows: Axis, columns: Axis, square: bool) -> _Layout:
    left = EDGE + rows.beside + 10
    across, down = len(columns.numbers), len(rows.numbers)
    room = WIDE - EDGE - left
    fitting = [n for n in _PER_ROW if n <= count and _wide(room, n, across) * across >= (75 if n > 4 else 0)]
    fewest = min(count, 2 if count <= 4 else 3 if count <= 12 else 4)  # or the picture gets endlessly long
    readable = [n for n in fitting if n >= fewest and (not columns.texts or _wide(room, n, across) >= 10.5)]
    readable = readable or [fewest]
    # Of those about as many, the one that leaves the fewest empty places in the last row.
    per_row = min((n for n in readable if 2 * n >= readable[0]), key=lambda n: ((-count) % n, -n))
    wide = min(_wide(room, per_row, across), (44.0 if count == 1 else 34.0) if square else 60.0)
    if square:
        wide = tall = min(wide, max(640 / down, 2.0))
    elif count == 1:
        tall = max(22.0 if down <= 16 else min(14.0, 560 / down), 2.0)
    else:
        tall = min(14.0, max(220 / down, 2.0))
    return _Layout(wide, tall, left, per_row, count > 1)


def _wide(room: float, per_row: int, across: int) -> float:
    return (room - _GAP * (per_row - 1)) / per_row / across


def _field(
    field: Field, left: float, top: float, layout: _Layout, rows: Axis, columns: Axis, limit: float, told: bool
) -> Iterator[Svg]:
    wide, tall = layout.wide * len(columns.numbers), layout.tall * len(rows.numbers)
    if layout.named:
        yield label(left, top - 6, field.name, size=11, weight="600", room=max(wide, 40))
    yield element("rect", x=left - 1, y=top - 1, width=wide + 2, height=tall + 2, fill=RULE)
    if told:
        yield from _cells(field, left, top, layout, rows, columns, limit)
    else:
        yield from _shades(field, left, top, layout, limit)
    yield from _written(field, left, top, layout, limit)
    odd = [(i, j) for i, row in enumerate(field.values) for j, value in enumerate(row) if _is_odd(value)]
    if odd:  # told apart by shape as well: red and the dark end of orange are alike to some eyes
        yield element(
            "path",
            d="".join(f"M{j} {i}l1 1m-1 0l1-1" for i, j in odd),
            stroke=PAPER,
            stroke_width="0.12",
            pointer_events="none",
            transform=_placed(left, top, layout),
        )


def _cells(
    field: Field, left: float, top: float, layout: _Layout, rows: Axis, columns: Axis, limit: float
) -> Iterator[Svg]:
    gap = 1.0 if min(layout.wide, layout.tall) > 6 else 0.0

    def said(i: int, j: int) -> tuple[str, ...]:
        return (f"“{quoted(field.texts[i][j])}”",) if field.texts else ()

    yield element(
        "g",
        *(
            element(
                "rect",
                element(
                    "title",
                    f"{_spelled(value)}: " + ", ".join(filter(None, (*said(i, j), rows.told(i), columns.told(j)))),
                ),
                x=left + j * layout.wide,
                y=top + i * layout.tall,
                width=layout.wide - gap,
                height=layout.tall - gap,
                fill=_colour(value, limit),
            )
            for i, row in enumerate(field.values)
            for j, value in enumerate(row)
        ),
        shape_rendering=None if gap else "crispEdges",
    )


def _written(field: Field, left: float, top: float, layout: _Layout, limit: float) -> Iterator[Svg]:
    if layout.wide < _LETTERS or layout.tall < 11:
        return
    room, largest = layout.wide - 3, min(11.0, layout.tall - 3)
    for i, row in enumerate(field.texts):
        for j, text in enumerate(map(visible, row)):
            size = max(min(largest, largest * room / max(width(text, largest), 1.0)), _SMALL)
            value = field.values[i][j]
            dark = value != -math.inf and not abs(value) <= limit / 2  # NaN is drawn dark
            x, y = left + (j + 0.5) * layout.wide - 0.5, top + (i + 0.5) * layout.tall + size * 0.35
            yield label(x, y, text, size=size, fill=PAPER if dark else INK, anchor="middle", room=room)


def _shades(field: Field, left: float, top: float, layout: _Layout, limit: float) -> Iterator[Svg]:
    """One path for each shade, cells of one shade that stand side by side as one: a tenth of the bytes."""
    runs: dict[str, list[str]] = {}
    for i, row in enumerate(field.values):
        colours = [_colour(value, limit, _SHADES) for value in row]
        start = 0
        for j in range(1, len(row) + 1):
            if j == len(row) or colours[j] != colours[start]:
                runs.setdefault(colours[start], []).append(f"M{start} {i}h{j - start}v1h{start - j}z")
                start = j
    yield element(
        "g",
        *(element("path", d="".join(drawn), fill=colour) for colour, drawn in runs.items()),
        transform=_placed(left, top, layout),
        shape_rendering="crispEdges",
    )


def _placed(left: float, top: float, layout: _Layout) -> str:
    """From cells to pixels."""
    return f"translate({left:.2f} {top:.2f}) scale({layout.wide:.4f} {layout.tall:.4f})"


def _is_odd(value: float) -> bool:
    return math.isnan(value) or value == math.inf


def _colour(value: float, limit: float, shades: int | None = None) -> str:
    if value == -math.inf:
        return MASKED
    if not math.isfinite(value):
        return ALARM
    share = max(-1.0, min(value / limit, 1.0))
    return ramp(share if shades is None else round(share * shades) / shades)


def _spelled(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return number(value) if math.isfinite(value) else "∞" if value > 0 else "masked"
