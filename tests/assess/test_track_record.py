"""What is due, what became of findings, and that unknown is never no."""

from datetime import date
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.assess.tracking import asked, history, resolved_pairs
from darklantern.assess.tracking.due import later
from darklantern.errors import RecordError
from darklantern.records import decode, encode
from darklantern.records.forecasts import EVENTS, Event, FollowUp, Forecast

ONE, TWO = "ab" * 32, "cd" * 32


def forecast(finding=ONE, event="capability_use", months=12, probability=0.2, stated="2026-01-31", level="V2", **rest):
    given = {"rater": "r1", "rubric": "darklantern-level/0.1.0", **rest}
    return Forecast(
        finding=finding, event=event, months=months, probability=probability, stated=stated, level=level, **given
    )


def follow_up(outcome, finding=ONE, event="capability_use", months=12, looked="2027-02-01"):
    return FollowUp(finding=finding, event=event, months=months, outcome=outcome, looked=looked, by="r2")


def test_records_come_back_from_their_bytes_and_nobody_is_sure() -> None:
    assert decode(Forecast, encode(forecast())) == forecast()
    assert decode(FollowUp, encode(follow_up("unknown"))) == follow_up("unknown")
    for sure in (0.0, 1.0):
        with pytest.raises(RecordError):
            encode(forecast(probability=sure))
    assert set(EVENTS) == set(get_args(Event))


@pytest.mark.parametrize(
    ("day", "months", "then"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2026-08-31", 6, "2027-02-28"),
        ("2023-08-31", 6, "2024-02-29"),
        ("2026-11-23", 24, "2028-11-23"),
        ("2026-12-31", 12, "2027-12-31"),
    ],
)
def test_months_end_where_the_calendar_says(day: str, months: int, then: str) -> None:
    assert later(date.fromisoformat(day), months) == date.fromisoformat(then)


def test_a_question_waits_is_due_and_is_answered() -> None:
    given = [forecast(), forecast(rater="r3", stated="2026-03-01"), forecast(months=6)]
    (six, twelve) = asked(given, [], date(2026, 8, 1))
    assert (six.state, six.days, twelve.state, twelve.forecasts) == ("due", 1, "waiting", 2)
    assert twelve.on == date(2027, 1, 31), "from the earliest forecast on"
    (answered,) = asked(given[:2], [follow_up("no")], date(2027, 3, 1))
    assert answered.state == "resolved"
    (unknown,) = asked(given[:2], [follow_up("unknown")], date(2027, 3, 1))
    assert unknown.state == "unknown"


def test_no_before_its_time_is_no_answer_and_yes_is() -> None:
    early = follow_up("no", looked="2026-06-01")
    assert asked([forecast()], [early], date(2027, 6, 1))[0].state == "due"
    assert asked([forecast()], [follow_up("yes", looked="2026-06-01")], date(2026, 7, 1))[0].state == "resolved"


def test_the_last_look_counts() -> None:
    looks = [follow_up("no"), follow_up("yes", looked="2027-05-01")]
    (counted,) = [each for each in history([forecast()], looks) if each.level is None]
    assert (counted.yes, counted.no) == (1, 0)


@given(st.lists(st.sampled_from(["yes", "no", "unknown", "open"]), min_size=1, max_size=40))
def test_unknown_is_never_no(outcomes: list[str]) -> None:
    findings = [f"{i:064x}" for i in range(len(outcomes))]
    given = [forecast(finding=each) for each in findings]
    looks = [follow_up(o, finding=f) for f, o in zip(findings, outcomes, strict=True) if o != "open"]
    (counted,) = [each for each in history(given, looks) if each.level is None]
    assert counted.yes == outcomes.count("yes") and counted.no == outcomes.count("no")
    assert counted.unknown == outcomes.count("unknown") and counted.open == outcomes.count("open")
    low, high = counted.interval
    wide = counted.with_unknown
    assert wide[0] <= low + 1e-12 or counted.unknown == 0
    assert wide[1] >= high - 1e-12 or counted.yes + counted.no == 0
    assert len(resolved_pairs(given, looks)) == counted.yes + counted.no


def test_levels_keep_their_counts_apart() -> None:
    given = [forecast(level="V0"), forecast(finding=TWO, level="V3")]
    looks = [follow_up("yes"), follow_up("unknown", finding=TWO)]
    counts = {each.level: each for each in history(given, looks)}
    assert (counts[None].yes, counts[None].unknown) == (1, 1)
    assert counts["V0"].yes == 1 and counts["V3"].unknown == 1
    assert "too few to tell" in counts["V3"].says
    moved = {each.level for each in history(given, looks, {ONE: "V1", TWO: "V1"})}
    assert moved == {None, "V1"}


def test_an_answer_to_what_nobody_asked_counts_for_nothing() -> None:
    assert history([], [follow_up("yes")]) == ()
    assert asked([forecast()], [follow_up("yes", finding=TWO)], date(2027, 3, 1))[0].state == "due"
