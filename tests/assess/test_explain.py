"""Sentences say what the decision says."""

from datetime import date

import msgspec
import pytest
from hypothesis import given, settings

from darklantern.assess import Explanation, assess, closure_lines, decide, explain, follows, review_due
from darklantern.records import decode, encode
from darklantern.records.assessments import LEVEL_NAMES, LEVELS, Assessment, ClosureCost

from .answers import TABLE, answer, from_values, many_answers, measured, most_open

TODAY = date(2026, 3, 1)
FINDING = "ab" * 32


def explained(answers) -> Explanation:
    return explain(decide(answers, TABLE), TABLE)


@settings(max_examples=60, deadline=None)
@given(many_answers())
def test_every_explanation_is_whole(answers) -> None:
    decision, explanation = decide(answers, TABLE), explained(answers)
    assert explanation.level.startswith(f"{decision.operate} {LEVEL_NAMES[decision.operate]}")
    assert len(explanation.because) == len(decision.reasons)
    assert len(explanation.lowering) == len(decision.lowering) + len(decision.together)
    assert bool(explanation.narrowest) == (decision.narrowest is not None)
    assert all(line and "\n" not in line for line in explanation.lines())


def test_it_says_when_no_single_answer_is_enough() -> None:
    assert all(line.startswith("no single answer, but") for line in explained([]).lowering)


def test_it_says_when_the_open_answers_no_longer_matter() -> None:
    known = most_open(F="broken")
    del known["O"]
    assert explained(from_values(**known)).level == "V2 Compartment, whatever the open answers turn out to be"
    assert explained(from_values(**most_open())).level == "V0 Open"


def test_made_up_raters_and_disputes_are_named() -> None:
    explanation = explained([answer("U", "direct", example=True), measured("G", "none"), answer("G", "creates")])
    assert explanation.examples == "made-up raters answered U (capability path); this is no real assessment"
    assert explanation.disputed[0].startswith("G (new capability needed)")


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_above_open_is_looked_at_again_and_the_more_closed_the_sooner(level) -> None:
    due = review_due(level, TODAY, TABLE)
    if level == "V0":
        assert due is None
    else:
        days = (date.fromisoformat(due) - TODAY).days
        assert days == {"V1": 365, "V2": 180, "V3": 90, "V4": 30}[level]


@settings(max_examples=40, deadline=None)
@given(many_answers())
def test_an_assessment_is_a_record_that_follows_from_its_answers(answers) -> None:
    record = assess(FINDING, answers, TABLE, today=TODAY)
    assert decode(Assessment, encode(record)) == record
    assert follows(record, TABLE)
    assert (record.review_due is None) == (record.operate == "V0")


def test_a_record_that_claims_a_lower_level_does_not_follow() -> None:
    record = assess(FINDING, [], TABLE, today=TODAY)
    for change in ({"operate": "V0"}, {"review_due": None}, {"binding": ()}, {"table": "other/1"}, {"run": "go"}):
        assert not follows(msgspec.structs.replace(record, **change), TABLE)


def test_the_cost_of_closing_stands_beside_the_level_and_never_moves_it() -> None:
    cost = ClosureCost(delay="a year for whoever evaluates models", rediscovery="one in two within a year; a guess")
    record = assess(FINDING, [], TABLE, today=TODAY, closure_cost=cost)
    assert record.operate == assess(FINDING, [], TABLE, today=TODAY).operate
    assert closure_lines(record) == (
        "review due: 2026-03-31",
        "cost of closure, delay: a year for whoever evaluates models",
        "cost of closure, who loses: not stated",
        "cost of closure, rediscovery: one in two within a year; a guess",
        "cost of closure, expected value: not stated",
    )
    assert closure_lines(assess(FINDING, from_values(**most_open()), TABLE, today=TODAY)) == ()
