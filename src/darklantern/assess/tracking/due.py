"""Which follow-ups are due: for each event that somebody forecast, at 6, 12 and 24 months."""

import calendar
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

from darklantern.records.forecasts import Event, FollowUp, Forecast, Months

State = Literal["waiting", "due", "resolved", "unknown"]
Question = tuple[str, Event, Months]
"""finding, event, months"""


@dataclass(frozen=True)
class Asked:
    """One question that somebody forecast, and where it stands."""

    finding: str
    event: Event
    months: Months
    on: date
    """when it can be answered: so long after the earliest forecast"""
    state: State
    forecasts: int
    days: int
    """since then; negative while it waits"""


def asked(forecasts: Iterable[Forecast], follow_ups: Iterable[FollowUp], today: date) -> tuple[Asked, ...]:
    """Every question with its state at `today`, the longest due first. An answer before its time does not count."""
    first: dict[Question, date] = {}
    count: dict[Question, int] = {}
    for each in forecasts:
        key = each.finding, each.event, each.months
        stated = date.fromisoformat(each.stated)
        first[key] = min(stated, first.get(key, stated))
        count[key] = count.get(key, 0) + 1
    outcomes = {
        key: found.outcome for key, found in resolved(follow_ups, {k: later(d, k[2]) for k, d in first.items()})
    }
    made = []
    for key, stated in first.items():
        on = later(stated, key[2])
        state: State = "waiting" if today < on else "due"
        if key in outcomes:
            state = "unknown" if outcomes[key] == "unknown" else "resolved"
        made.append(Asked(*key, on, state, count[key], (today - on).days))
    return tuple(sorted(made, key=lambda each: (-each.days, each.finding, each.event)))


def resolved(follow_ups: Iterable[FollowUp], due: dict[Question, date]) -> Iterable[tuple[Question, FollowUp]]:
    """The follow-up that counts for each question: the last one that looked when its time was over.

    One that says yes counts whenever it looked: what has happened has happened.
    """
    found: dict[Question, FollowUp] = {}
    for each in sorted(follow_ups, key=lambda one: one.looked):
        key = each.finding, each.event, each.months
        if key in due and (each.outcome == "yes" or date.fromisoformat(each.looked) >= due[key]):
            found[key] = each
    return found.items()


def later(day: date, months: int) -> date:
    """The same day so many months on, or that month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
