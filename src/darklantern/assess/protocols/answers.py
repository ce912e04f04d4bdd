"""Numbers → an answer: every value that the interval does not exclude stays open."""

from math import isfinite

from darklantern.assess.table import Table
from darklantern.records.assessments import Answer, Code
from darklantern.records.exact import Sha256

RATER = "darklantern"


def not_measured(criterion: Code, why: str) -> Answer:
    """The answer of a measurement that was not made. Says nothing, so that people's answers count."""
    return Answer(
        criterion=criterion,
        values=(),
        kind="measured",
        status="unknown",
        rater=RATER,
        protocol=f"{criterion}/none",
        text=why,
    )


def answered(
    criterion: Code,
    values: tuple[str, ...],
    protocol: str,
    text: str,
    evidence: tuple[Sha256, ...],
    interval: tuple[float, float] | None = None,
) -> Answer:
    """What a measurement leaves open."""
    return Answer(
        criterion=criterion,
        values=values,
        kind="measured",
        rater=RATER,
        protocol=protocol,
        evidence=evidence,
        # A record has no infinity; an unbounded interval is told in the text.
        interval=interval if interval and all(map(isfinite, interval)) else None,
        text=text,
    )


def failed(criterion: Code, protocol: str, text: str, evidence: tuple[Sha256, ...]) -> Answer:
    """A measurement that was made and went wrong: every value stays open, and no rater clears it."""
    return Answer(
        criterion=criterion,
        values=(),
        kind="measured",
        status="error",
        rater=RATER,
        protocol=protocol,
        evidence=evidence,
        text=text,
    )


def graded(
    criterion: Code,
    interval: tuple[float, float],
    thresholds: tuple[float, float],
    table: Table,
    protocol: str,
    text: str,
    evidence: tuple[Sha256, ...],
) -> Answer:
    """Every value between the grades of the interval's two ends; more is more open."""
    most_open, most_closed = grade(interval[1], thresholds), grade(interval[0], thresholds)
    values = table.criterion(criterion).values[most_open : most_closed + 1]
    return answered(criterion, values, protocol, text, evidence, interval)


def grade(number: float, thresholds: tuple[float, float]) -> int:
    """0 at the first threshold or above, 1 at the second or above, 2 below both."""
    return sum(number < least for least in thresholds)


def left_open(table: Table, criterion: Code, possible: dict[str, bool]) -> tuple[str, ...]:
    """The values that are possible, from open to closed; all where none seems to be, for then something is wrong."""
    scale = table.criterion(criterion).values
    return tuple(value for value in scale if possible[value]) or scale


def span(interval: tuple[float, float]) -> str:
    """An interval in a sentence."""
    return f"[{interval[0]:.3g}, {interval[1]:.3g}]"
