"""A grid of effects: rows are sites or layers, columns are token positions, colour is the value."""

from darklantern.drawing import checks
from darklantern.drawing.axes import Axis, beneath
from darklantern.drawing.frame import EDGE, HEADED, WIDE, document, heading, label
from darklantern.drawing.ink import INK, ramp
from darklantern.drawing.key import BAR, key
from darklantern.drawing.lettering import clean, visible, width
from darklantern.drawing.markup import Svg, element
from darklantern.drawing.scales import number
from darklantern.errors import RecordError
from darklantern.records.findings import Grid

MOST_ROWS = 64
MOST_COLUMNS = 128


def heatmap(grid: Grid, *, title: str = "") -> Svg:
    """Draw `grid` around zero: blue above, orange below, near-white at zero; hover tells each value.

    The scale is symmetric, so equal strengths of either sign are equally dark. Columns carry their
    text with white space made visible (`␣`, `⏎`, `⇥`). The strongest cell is outlined and named.

    Raises RecordError for an empty, ragged or unreadably large grid, and for NaN or infinity.
    """
    # 1. Refuse what is not a grid.
    _check(grid)
    flat = [value for row in grid.values for value in row]
    strongest = max(flat, key=abs)
    limit = abs(strongest) or 1.0

    # 2. Lay out: row names at the left, square-ish cells, column texts below.
    names = min(max(width(clean(row), 12) for row in (*grid.rows, "position")), 190.0)
    left = EDGE + names + 10
    texts = [clean(visible(column)) for column in grid.columns]
    widest = min(max(max(width(text, 12) for text in texts) + 6, 30.0), 78.0)
    cell = min((WIDE - EDGE - left) / len(grid.columns), widest)
    tall = 24.0 if len(grid.rows) <= 16 else 14.0
    bottom = HEADED + 4 + tall * len(grid.rows)
    right = left + max(cell * len(grid.columns), BAR)
    texts_below, below = beneath(Axis("position", range(len(grid.columns)), grid.columns), left, cell, bottom)

    # 3. Cells, the ring around the strongest, names, key.
    where = flat.index(strongest)
    row, column = divmod(where, len(grid.columns))
    says = f"Strongest: {_told(grid, row, column)}" if strongest else "All values are zero"
    cells = [
        _cell(grid, i, j, left + j * cell, HEADED + 4 + i * tall, (cell, tall), limit)
        for i in range(len(grid.rows))
        for j in range(len(grid.columns))
    ]
    return document(
        "heatmap",
        (WIDE, below + 44),
        title or grid.name,
        f"{says}. {len(grid.rows)} rows by {len(grid.columns)} columns.",
        [
            heading(title or grid.name, says, WIDE),
            element("g", *cells),
            *([_ring(left + column * cell, HEADED + 4 + row * tall, cell, tall)] if strongest else []),
            *(
                label(left - 8, HEADED + 8 + (i + 0.5) * tall, name, fill=INK, anchor="end", room=names)
                for i, name in enumerate(grid.rows)
            ),
            *texts_below,
            *key(min(flat), max(flat), limit, grid.unit, right, below + 14),
        ],
    )


def _check(grid: Grid) -> None:
    checks.something(f"the rows of {grid.name!r}", grid.rows)
    checks.something(f"the columns of {grid.name!r}", grid.columns)
    checks.at_most(MOST_ROWS, "rows", grid.rows)
    checks.at_most(MOST_COLUMNS, "columns", grid.columns)
    shape = (len(grid.rows), len(grid.columns))
    if len(grid.values) != shape[0] or any(len(row) != shape[1] for row in grid.values):
        raise RecordError(
            f"expected {shape[0]} rows of {shape[1]} values in {grid.name!r}, got {[len(row) for row in grid.values]}",
            hint="one tuple of values for each row label, one value in it for each column label",
        )
    for name, row in zip(grid.rows, grid.values, strict=True):
        checks.finite(f"row {name!r} of {grid.name!r}", row)


def _told(grid: Grid, row: int, column: int) -> str:
    value = f"{number(grid.values[row][column])} {grid.unit}".rstrip()
    return f"{value} at position {column} “{visible(grid.columns[column])}”, {grid.rows[row]}"


def _cell(grid: Grid, i: int, j: int, x: float, y: float, size: tuple[float, float], limit: float) -> Svg:
    gap = 1.0 if size[0] > 5 else 0.25
    return element(
        "rect",
        element("title", _told(grid, i, j)),
        x=x,
        y=y,
        width=size[0] - gap,
        height=size[1] - gap,
        fill=ramp(grid.values[i][j] / limit),
    )


def _ring(x: float, y: float, wide: float, tall: float) -> Svg:
    return element(
        "rect", x=x - 1, y=y - 1, width=wide + 1, height=tall + 1, rx=1.5, fill="none", stroke=INK, stroke_width=1.75
    )
