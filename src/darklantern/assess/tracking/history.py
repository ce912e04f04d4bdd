"""The network's own record: how often did a finding lead to what was feared of it, and to what was hoped?

It counts what one reader may read. A level may keep its record to itself: counts are by level, and whoever hands them
on chooses which.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from darklantern.assess.bounds import Trials, wilson
from darklantern.assess.tracking.due import Question, later, resolved
from darklantern.records.assessments import Level
from darklantern.records.forecasts import Event, FollowUp, Forecast, Months

SELECTIVE = (
    "Closed findings leave little evidence in public, so that a use or a leak of them is seen more seldom than it "
    "happens; rediscovery by others is the outcome that closure hides least."
)


@dataclass(frozen=True)
class Count:
    """What became of findings that were asked about."""

    event: Event
    months: Months
    level: Level | None
    """None: of all levels"""
    yes: int
    no: int
    unknown: int
    open: int
    """not answered yet, due or not"""

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, of the share among those that are answered; all shares where none is."""
        answered = self.yes + self.no
        return wilson(Trials(self.yes, answered)) if answered else (0.0, 1.0)

    @property
    def with_unknown(self) -> tuple[float, float]:
        """The same with every unknown once as no, and once as yes: what not looking could hide."""
        answered = self.yes + self.no + self.unknown
        if not answered:
            return 0.0, 1.0
        return wilson(Trials(self.yes, answered))[0], wilson(Trials(self.yes + self.unknown, answered))[1]

    @property
    def says(self) -> str:
        """In words."""
        where = "all levels" if self.level is None else self.level
        told = f"{self.event} within {self.months} months, {where}: {self.yes} of {self.yes + self.no} answered"
        low, high = self.with_unknown
        few = ", too few to tell" if high - low > 0.5 else ""
        return f"{told}, {self.unknown} unknown, {self.open} open; between {low:.0%} and {high:.0%}{few}"


def history(
    forecasts: Iterable[Forecast], follow_ups: Iterable[FollowUp], levels: Mapping[str, Level] | None = None
) -> tuple[Count, ...]:
    """Counts for each event and time that was asked about: of all levels first, then of each.

    `levels` says where findings are; without it, where they were at their first forecast.
    """
    first: dict[Question, Forecast] = {}
    for each in sorted(forecasts, key=lambda one: one.stated):
        first.setdefault((each.finding, each.event, each.months), each)
    due = {key: later(date.fromisoformat(each.stated), key[2]) for key, each in first.items()}
    outcomes = {key: found.outcome for key, found in resolved(follow_ups, due)}
    counts: dict[tuple[Event, Months, Level | None], Counter[str]] = {}
    for key, forecast in first.items():
        level = (levels or {}).get(key[0], forecast.level)
        for where in (None, level):
            counts.setdefault((key[1], key[2], where), Counter())[outcomes.get(key, "open")] += 1
    ordered = sorted(counts, key=lambda key: (key[0], key[1], key[2] or ""))
    return tuple(
        Count(*key, counts[key]["yes"], counts[key]["no"], counts[key]["unknown"], counts[key]["open"])
        for key in ordered
    )


def resolved_pairs(
    forecasts: Iterable[Forecast], follow_ups: Iterable[FollowUp]
) -> dict[Question, tuple[tuple[Forecast, ...], bool]]:
    """Each question that is answered, with all forecasts of it and whether it happened. Unknown ones are left out."""
    asked: dict[Question, list[Forecast]] = {}
    for each in forecasts:
        asked.setdefault((each.finding, each.event, each.months), []).append(each)
    due = {key: later(min(date.fromisoformat(one.stated) for one in each), key[2]) for key, each in asked.items()}
    return {
        key: (tuple(asked[key]), found.outcome == "yes")
        for key, found in resolved(follow_ups, due)
        if found.outcome != "unknown"
    }
