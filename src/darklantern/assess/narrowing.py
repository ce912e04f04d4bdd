"""What to find out first: which open criterion would narrow the range of levels most, and most for its cost.

`decide` says which fewest unknowns could lower the level at best. This says what to expect: each open criterion is
settled to each of its open values in turn, all as likely, while the others stay open.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from darklantern.assess.combine import Open
from darklantern.assess.decide import ends
from darklantern.assess.table import Table
from darklantern.records.assessments import LEVELS, Level


@dataclass(frozen=True)
class Narrowing:
    """What settling one criterion would do to the range, in levels."""

    criterion: str
    expected: float
    """how much shorter the range becomes, on average over the values that are open"""
    lowered: float
    """how much lower the level to act on becomes, on average"""
    best: Level
    """the lowest level to act on that it could lead to"""
    seconds: float | None
    """what it would cost to measure; None where nobody has said"""

    @property
    def per_hour(self) -> float | None:
        """Levels of range for an hour of measuring; None where the cost is not known."""
        return None if self.seconds is None else self.expected / max(self.seconds / 3600, 1e-9)


def narrowing(
    left: Mapping[str, Open], table: Table, seconds: Mapping[str, float | None] | None = None
) -> tuple[Narrowing, ...]:
    """Each open criterion, what narrows most first; with `seconds`, what narrows most for its cost among those known.

    Costs two evaluations a value. A criterion that narrows nothing by itself may still do so together with another.
    """
    low, high = (outcome.level for outcome in ends(left, table))
    made = [
        _one(code, left, table, (low, high), (seconds or {}).get(code))
        for code, found in left.items()
        if len(found.values) > 1
    ]
    return tuple(sorted(made, key=lambda each: (-_worth(each, seconds is not None), each.criterion)))


def _one(
    code: str, left: Mapping[str, Open], table: Table, now: tuple[Level, Level], seconds: float | None
) -> Narrowing:
    ranges = [
        tuple(outcome.level for outcome in ends({**left, code: Open(code, (value,))}, table))
        for value in left[code].values
    ]
    wide = LEVELS.index(now[1]) - LEVELS.index(now[0])
    widths = [LEVELS.index(high) - LEVELS.index(low) for low, high in ranges]
    falls = [LEVELS.index(now[1]) - LEVELS.index(high) for _, high in ranges]
    count = len(ranges)
    best = min(high for _, high in ranges)
    return Narrowing(code, wide - sum(widths) / count, sum(falls) / count, best, seconds)


def _worth(each: Narrowing, by_cost: bool) -> float:
    """What is sorted by; where costs count, what has none comes after all that narrows for a known one."""
    if not by_cost:
        return each.expected
    return each.per_hour if each.per_hour is not None else -1 + min(each.expected, 4) / 10
