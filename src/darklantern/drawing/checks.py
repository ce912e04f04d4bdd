"""What every picture refuses: numbers that are not numbers, and more than can be read."""

from collections.abc import Iterable, Sequence

from darklantern.errors import RecordError

HUGE = 1e100
"""Larger numbers mean a diverged run; they also overflow the arithmetic of a scale."""


def finite(what: str, values: Iterable[float], limit: float = HUGE) -> None:
    """Refuse NaN, infinity and absurdly large numbers, with the place of the first one."""
    for index, value in enumerate(values):
        if not abs(value) <= limit:  # true of NaN as well
            raise RecordError(
                f"expected finite numbers within ±{limit:g} in {what}, got {value} at index {index}",
                hint="a diverged run? cut the series before that point, or record a gap by leaving the step out",
            )


def at_most(limit: int, what: str, items: Sequence[object]) -> None:
    """Refuse more items than a person can read in one picture."""
    if len(items) > limit:
        raise RecordError(
            f"expected at most {limit} {what} in one picture, got {len(items)}",
            hint="choose the ones that carry the argument, or draw several pictures",
        )


def something(what: str, items: Sequence[object]) -> None:
    """Refuse an empty picture: a blank image would look like a result."""
    if not items:
        raise RecordError(f"expected at least one of {what} to draw, got none", hint="did the run record anything yet?")
