"""Curves that rise from box to box on a grid and never pass behind one. Pure geometry, y grows downward."""

from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Way:
    """From `start` up to `end`: one S-curve or, by way of `channel`, an S-curve, a straight rise and another.

    S-curves stay within `gap` pixels above `start` and below `end`, where no box is; `channel` is an
    x between two columns. So no box is ever crossed.
    """

    start: Point
    end: Point
    gap: float
    channel: float | None = None

    def path(self) -> str:
        drawn = f"M{_written(self.start)}"
        if self.channel is None:
            return drawn + _bend(self.start, self.end)
        first, second = self._corners(self.channel)
        return f"{drawn}{_bend(self.start, first)}L{_written(second)}{_bend(second, self.end)}"

    def spots(self) -> list[Point]:
        """Points on the way, the best for a label first."""
        if self.channel is None:
            return [_along(self.start, self.end, t) for t in (0.5, 0.42, 0.58, 0.35, 0.65, 0.28, 0.72)]
        first, second = self._corners(self.channel)
        rise = [(self.channel, first[1] + (second[1] - first[1]) * t) for t in (0.5, 0.2, 0.8, 0.0, 1.0)]
        return rise + [
            _along(*ends, t) for t in (0.5, 0.35, 0.65) for ends in ((self.start, first), (second, self.end))
        ]

    def _corners(self, channel: float) -> tuple[Point, Point]:
        return (channel, self.start[1] - self.gap), (channel, self.end[1] + self.gap)


def nearest_channel(channels: Sequence[float], start: float, end: float) -> int:
    """Which channel makes the shortest way; among equals, the one nearest the middle."""
    cost = [(abs(x - start) + abs(x - end), abs(x - (start + end) / 2), i) for i, x in enumerate(channels)]
    return min((round(detour), bias, i) for detour, bias, i in cost)[2]


def _bend(start: Point, end: Point) -> str:
    middle = (start[1] + end[1]) / 2
    return f"C{_written((start[0], middle))} {_written((end[0], middle))} {_written(end)}"


def _along(start: Point, end: Point, t: float) -> Point:
    share = 3 * t * t - 2 * t**3
    middle = (start[1] + end[1]) / 2
    weights = ((1 - t) ** 3, 3 * t * (1 - t), t**3)
    return start[0] + (end[0] - start[0]) * share, weights[0] * start[1] + weights[1] * middle + weights[2] * end[1]


def _written(point: Point) -> str:
    return f"{point[0]:.2f} {point[1]:.2f}"
