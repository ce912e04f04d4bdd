"""Who raised the alarm first: decisions about a run's series, without pictures or markup."""

from collections.abc import Sequence
from dataclasses import dataclass

from darklantern.records.findings import Event, Series

OVERT = "overt behaviour"
"""The label of the event at which anyone would see it."""


@dataclass(frozen=True, slots=True)
class Runner:
    """One signal or behavioural monitor, and how far ahead of others its alarm was, in steps.

    A negative lead means later. None: one of the two never came.
    """

    series: Series
    over_behaviour: int | None
    over_overt: int | None


@dataclass(frozen=True, slots=True)
class Race:
    """All that can raise an alarm, the earliest first; those that never did, last."""

    runners: tuple[Runner, ...]
    inside: Series | None
    """the first signal inside the model"""
    outside: Series | None
    """the first behavioural monitor"""
    overt: int | None


def race(series: Sequence[Series], events: Sequence[Event]) -> Race:
    """Leads count against the first alarm of *any* behavioural monitor, whatever its tier: the strictest comparison."""
    racing = [each for each in series if each.role in ("signal", "behaviour", "statistic")]
    ordered = sorted(racing, key=lambda each: (each.alarm is None, each.alarm or 0, each.role != "signal"))
    inside, outside = _first(ordered, "signal"), _first(ordered, "behaviour")
    overt = min((event.step for event in events if event.label.strip().lower() == OVERT), default=None)
    best = outside.alarm if outside else None
    runners = [
        Runner(each, None if each.role == "behaviour" else _lead(each.alarm, best), _lead(each.alarm, overt))
        for each in ordered
    ]
    return Race(tuple(runners), inside, outside, overt)


def _first(ordered: Sequence[Series], role: str) -> Series | None:
    return next((each for each in ordered if each.role == role and each.alarm is not None), None)


def _lead(alarm: int | None, against: int | None) -> int | None:
    return None if alarm is None or against is None else against - alarm
