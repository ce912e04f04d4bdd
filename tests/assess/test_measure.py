"""Protocols: what was measured closes the range as far as the numbers go, and no further."""

from dataclasses import replace

import numpy as np
import pytest

from darklantern.assess import (
    Trace,
    Trials,
    breadth_speed,
    capability_needed,
    combine,
    efficiency,
    fragility,
    frontier_distance,
    not_measured,
)
from darklantern.assess.bits import pvi_range
from darklantern.errors import AssessmentError
from darklantern.records import decode, encode
from darklantern.records.assessments import Answer

from .answers import TABLE

READING = Trace(
    parameters_executed=900,
    parameters_total=1000,
    tokens_sampled=0,
    external_actions=0,
    sandboxed=True,
    changes_weights=False,
    raises_dangerous_capability=None,
    works_at=(1000, 5000),
)
COIN = [0.5, 0.5]


@pytest.mark.parametrize(
    ("change", "values"),
    [
        ({}, ("none",)),
        ({"works_at": (1000,)}, ("none", "contained")),
        ({"fails_at": (100,)}, ("contained",)),
        ({"works_at": (), "fails_at": (100, 1000)}, ("contained", "creates")),
        ({"tokens_sampled": 5}, ("contained",)),
        ({"external_actions": 1}, ("contained",)),
        ({"external_actions": 1, "sandboxed": False}, ("creates",)),
        ({"sandboxed": False}, ("none",)),
        ({"changes_weights": True}, ("contained", "creates")),
        ({"changes_weights": True, "raises_dangerous_capability": False}, ("contained",)),
        ({"raises_dangerous_capability": True}, ("creates",)),
    ],
)
def test_new_capability_from_a_trace(change, values) -> None:
    assert capability_needed(replace(READING, **change), TABLE).values == values


@pytest.mark.parametrize("change", [{"parameters_executed": 1001}, {"tokens_sampled": -1}, {"external_actions": -1}])
def test_a_trace_that_cannot_be_is_refused(change) -> None:
    with pytest.raises(AssessmentError, match="a trace cannot"):
        capability_needed(replace(READING, **change), TABLE)


FAST, SLOW = [1.0, 2.0, 1.5, 1.2], [100.0, 90.0, 120.0, 110.0]


@pytest.mark.parametrize(
    ("families", "seconds", "values"),
    [
        (Trials(7, 8), FAST, ("both",)),
        (Trials(7, 8), SLOW, ("one",)),
        (Trials(0, 8), FAST, ("one",)),
        (Trials(0, 8), SLOW, ("neither",)),
        (Trials(6, 8), FAST, ("both", "one")),  # lower bound .409: not shown to be broad, not excluded
        (Trials(7, 8), [], ("both", "one")),
        (None, FAST, ("both", "one")),
        (None, SLOW, ("one", "neither")),
        (None, FAST[:3], ("both", "one", "neither")),  # three runs bound no median
        (Trials(1, 1), [5.0, 50.0, 9.0, 11.0], ("both", "one", "neither")),
    ],
)
def test_breadth_and_speed(families, seconds, values) -> None:
    assert breadth_speed(families, seconds, 10.0, TABLE).values == values


@pytest.mark.parametrize(
    ("families", "seconds", "checkpoint"),
    [(Trials(3, 2), [], 1.0), (Trials(0, 0), [], 1.0), (None, FAST, None), (None, FAST, 0.0), (None, [-1.0], 1.0)],
)
def test_breadth_and_speed_that_cannot_be_are_refused(families, seconds, checkpoint) -> None:
    with pytest.raises(AssessmentError):
        breadth_speed(families, seconds, checkpoint, TABLE)


def fragile(naive, informed, optimised, detects=True) -> tuple[str, ...]:
    return fragility(detects, naive, informed, optimised, 0.5, TABLE).values


def test_fragility_by_retention() -> None:
    all_of = Trials(2000, 2000)
    assert fragile(all_of, all_of, all_of) == ("robust",)
    assert fragile(all_of, all_of, Trials(1700, 2000)) == ("degrades",)
    assert fragile(all_of, Trials(1700, 2000), all_of) == ("degrades",), "the worse adversary counts"
    assert fragile(all_of, all_of, Trials(1100, 2000)) == ("broken",)
    assert fragile(Trials(10, 10), Trials(9, 10), Trials(9, 10)) == ("robust", "degrades", "broken"), "little data"


def test_a_finding_that_detects_nothing_has_nothing_to_lose() -> None:
    assert fragile(None, None, None, detects=False) == ("robust",)


@pytest.mark.parametrize("missing", range(3))
def test_untested_counts_as_broken(missing) -> None:
    tested = [Trials(100, 100)] * 3
    tested[missing] = None
    assert fragile(*tested) == ("broken",)


def test_a_detector_at_chance_is_broken_and_one_that_may_be_is_unsure() -> None:
    assert fragile(Trials(400, 1000), Trials(400, 1000), Trials(400, 1000)) == ("broken",)
    assert fragile(Trials(11, 20), Trials(11, 20), Trials(11, 20)) == ("robust", "degrades", "broken")


def bits(mean, models, messages=5, seed=0) -> list[list[float]]:
    """Messages of so many models, around a mean."""
    return np.random.default_rng(seed).normal(mean, 0.01, (models, messages)).tolist()


@pytest.mark.parametrize(
    ("mean", "budget", "values"), [(0.9, 1.0, ("high",)), (0.9, 4.0, ("medium",)), (0.0, 4.0, ("low",))]
)
def test_efficiency_with_many_models(mean, budget, values) -> None:
    assert efficiency(bits(mean, 2000), budget, COIN, TABLE).values == values


def test_few_models_leave_every_efficiency_open_and_count_as_low() -> None:
    answer = efficiency(bits(0.9, 5), 1.0, COIN, TABLE)
    assert answer.values == ("high", "medium", "low")
    assert answer.interval is not None
    assert answer.interval[0] < 0.1


def test_messages_of_one_model_are_one_sample() -> None:
    """Ten thousand messages of ten models bound no better than ten means."""
    few = efficiency(bits(0.9, 10, messages=1), 1.0, COIN, TABLE)
    many = efficiency(bits(0.9, 10, messages=1000), 1.0, COIN, TABLE)
    assert few.values == many.values == ("high", "medium", "low")


def test_the_text_says_how_much_could_be_covert() -> None:
    assert "at most 7." in efficiency(bits(0.9, 2000), 8.0, COIN, TABLE).text


@pytest.mark.parametrize(
    "pvi",
    [[[float("nan")], [0.5]], [[pvi_range(COIN)[1] + 1], [0.5]], bits(0.9, 2000)],
    ids=["not a number", "out of range", "more than the budget"],
)
def test_information_that_cannot_be_is_an_error_and_leaves_every_value_open(pvi) -> None:
    answer = efficiency(pvi, 0.1, COIN, TABLE)
    assert answer.status == "error"
    assert combine([answer], TABLE)["E"].values == TABLE.criteria["E"].values


def test_no_budget_or_a_model_without_messages_is_refused() -> None:
    with pytest.raises(AssessmentError):
        efficiency(bits(0.9, 5), 0.0, COIN, TABLE)
    with pytest.raises(AssessmentError):
        efficiency([[0.5], []], 1.0, COIN, TABLE)


@pytest.mark.parametrize(
    ("flops", "gap", "values"),
    [
        ((1e13, 4e13), None, ("far_below",)),
        ((1e13, 4e13), 0.95, ("far_below",)),
        ((1e13, 4e13), 0.6, ("below",)),
        ((1e13, 4e13), 0.1, ("at_frontier",)),
        ((1e20, 1e21), None, ("far_below", "below")),
        ((1e23, 3e23), None, ("below",)),
        ((1e23, 3e23), 1.0, ("below",)),  # a low score never lowers: it may be sandbagging
        ((1e25, 1e26), None, ("at_frontier",)),
        ((1e13, 1e26), None, ("far_below", "below", "at_frontier")),
    ],
)
def test_distance_from_the_frontier(flops, gap, values) -> None:
    assert frontier_distance(flops, TABLE, gap).values == values


def test_distance_says_what_it_assumes() -> None:
    assert "an assumption" in frontier_distance((1e13, 4e13), TABLE).text
    assert "assumption" in TABLE.source.frontier.source
    assert frontier_distance((1e13, 4e13), TABLE, float("nan")).status == "error"
    for impossible in ((0.0, 1.0), (2.0, 1.0), (1.0, float("inf"))):
        with pytest.raises(AssessmentError):
            frontier_distance(impossible, TABLE)


def test_what_was_not_measured_is_unknown() -> None:
    answers = [
        capability_needed(None, TABLE),
        breadth_speed(None, [], 1.0, TABLE),
        efficiency([], 1.0, COIN, TABLE),
        efficiency(bits(0.9, 1), 1.0, COIN, TABLE),
        frontier_distance(None, TABLE),
        not_measured("A", "the finding makes no intervention"),
    ]
    for answer in answers:
        assert answer.status == "unknown"
        assert answer.text
        assert combine([answer], TABLE)[answer.criterion].values == TABLE.criteria[answer.criterion].values


@pytest.mark.parametrize(
    "answer",
    [
        capability_needed(READING, TABLE, ("a" * 64,)),
        breadth_speed(Trials(7, 8), FAST, 10.0, TABLE),
        fragility(True, Trials(11, 20), Trials(1, 20), Trials(2, 20), 0.5, TABLE),
        efficiency(bits(0.9, 5), 1.0, COIN, TABLE),
        efficiency([[9.0], [9.0]], 1.0, COIN, TABLE),
        frontier_distance((1e13, 4e13), TABLE),
        not_measured("N", "no blinded audit"),
    ],
    ids=lambda answer: f"{answer.criterion}-{answer.status}",
)
def test_every_answer_is_a_record(answer) -> None:
    """Infinite bounds have no JSON; a record with one would be refused."""
    assert decode(Answer, encode(answer)) == answer
    assert answer.kind == "measured"
