"""Where labels go so that none covers another. Pure geometry: numbers in, numbers out."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least `gap` apart, nearest to `wanted` in least squares, within [low, high] if they fit.

    Order is kept. With the gaps taken out this is isotonic regression, solved by pooling adjacent
    violators (Ayer et al. 1955).
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    pools: list[tuple[float, int]] = []
    for rank, i in enumerate(order):
        mean, size = wanted[i] - rank * gap, 1
        while pools and pools[-1][0] > mean:
            before, count = pools.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        pools.append((mean, size))
    flat = [mean for mean, size in pools for _ in range(size)]
    ceiling = max(low, high - gap * (len(wanted) - 1))
    places = [0.0] * len(wanted)
    for rank, i in enumerate(order):
        places[i] = min(max(flat[rank], low), ceiling) + rank * gap
    return places


def stagger(starts: Sequence[float], widths: Sequence[float], gap: float = 8.0) -> list[int]:
    """A row for each flag (a pole at `starts`, its label to the right) so that nothing touches.

    Row 0 is the lowest. A flag goes above every flag whose pole its label would reach, so that
    poles, which run down from their label, never cross the label of another.
    """
    rows = [0] * len(starts)
    order = sorted(range(len(starts)), key=lambda i: (-starts[i], -i))
    for done, i in enumerate(order):
        reached = [rows[j] for j in order[:done] if starts[j] < starts[i] + widths[i] + gap]
        rows[i] = max(reached) + 1 if reached else 0
    return rows


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most four points for each pixel column (first, lowest, highest, last): the same line, drawn."""
    columns: list[list[tuple[float, float]]] = []
    for point in points:
        if columns and int(columns[-1][0][0]) == int(point[0]):
            columns[-1].append(point)
        else:
            columns.append([point])
    kept: list[tuple[float, float]] = []
    for column in columns:
        height = [y for _, y in column]
        chosen = {0, height.index(min(height)), height.index(max(height)), len(column) - 1}
        kept.extend(column[i] for i in sorted(chosen))
    return kept


class Box(NamedTuple):
    """A rectangle: left, top, width, height."""

    x: float
    y: float
    wide: float
    tall: float

    def touches(self, other: "Box") -> bool:
        return (
            self.x < other.x + other.wide
            and other.x < self.x + self.wide
            and self.y < other.y + other.tall
            and other.y < self.y + self.tall
        )


def first_free(candidates: Iterable[Box], taken: Sequence[Box]) -> Box | None:
    """The first candidate that touches nothing in `taken`, if there is one."""
    return next((box for box in candidates if not any(box.touches(other) for other in taken)), None)
