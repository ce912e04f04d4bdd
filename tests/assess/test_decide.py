"""The range is exact, reasons hold, lowerings lower."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings

from darklantern.assess import combine, decide, evaluate
from darklantern.assess.table import RUNS
from darklantern.records.assessments import LEVELS

from .answers import TABLE, answer, from_values, many_answers, most_open


def possible(answers) -> tuple[np.ndarray, ...]:
    """The index of every value that the answers leave open, by criterion."""
    left = combine(answers, TABLE)
    return np.ix_(*[[TABLE.rank(code, value) for value in left[code].values] for code in TABLE.criteria])


def test_everything_unknown_may_be_anything_and_is_private() -> None:
    decision = decide([], TABLE)
    assert (decision.lowest, decision.operate, decision.run) == ("V0", "V4", "stop")
    assert decision.unknown == tuple(TABLE.criteria)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(answers=many_answers())
def test_the_range_is_that_of_all_completions(levels, runs, answers) -> None:
    decision = decide(answers, TABLE)
    completions = levels[possible(answers)]
    assert decision.lowest == LEVELS[completions.min()]
    assert decision.operate == LEVELS[completions.max()]
    assert decision.run == RUNS[runs[possible(answers)].max()]


@settings(max_examples=100, deadline=None)
@given(answers=many_answers())
def test_every_change_it_names_lowers_the_level_to_what_it_says(answers) -> None:
    decision = decide(answers, TABLE)
    counted = {code: left.closed for code, left in decision.open.items()}
    for change in (*decision.lowering, *decision.together, *filter(None, [decision.narrowest])):
        assert change.level < decision.operate
        assert evaluate(TABLE, {**counted, **change.answers}).level == change.level


@settings(max_examples=100, deadline=None)
@given(answers=many_answers())
def test_no_single_change_is_left_out_and_joint_ones_are_minimal(answers) -> None:
    decision = decide(answers, TABLE)
    counted = {code: left.closed for code, left in decision.open.items()}
    reachable = {
        (code, level)
        for code, scale in ((code, TABLE.scales[code]) for code in counted)
        for value in scale
        if (level := evaluate(TABLE, {**counted, code: value}).level) < decision.operate
    }
    assert {(*change.answers, change.level) for change in decision.lowering} == reachable
    assert not (decision.lowering and decision.together)
    for change in decision.together:
        for part in combinations(change.answers.items(), len(change.answers) - 1):
            assert evaluate(TABLE, {**counted, **dict(part)}).level == decision.operate


@settings(max_examples=100, deadline=None)
@given(answers=many_answers())
def test_no_lowering_could_ask_for_less(answers) -> None:
    decision = decide(answers, TABLE)
    counted = {code: left.closed for code, left in decision.open.items()}
    for change in (*decision.lowering, *decision.together):
        for code, value in change.answers.items():
            closer = TABLE.scales[code][TABLE.rank(code, value) + 1]
            assert evaluate(TABLE, {**counted, **change.answers, code: closer}).level > change.level


@settings(max_examples=50, deadline=None)
@given(answers=many_answers())
def test_a_reason_holds_the_level_up_whatever_the_rest(levels, answers) -> None:
    decision = decide(answers, TABLE)
    assert bool(decision.reasons) == (decision.operate != "V0")
    for codes in decision.reasons:
        at = [
            [TABLE.rank(code, decision.open[code].closed)] if code in codes else range(len(TABLE.scales[code]))
            for code in TABLE.criteria
        ]
        assert levels[np.ix_(*at)].min() == LEVELS.index(decision.operate)


@settings(max_examples=100, deadline=None)
@given(answers=many_answers())
def test_binding_rules_give_the_level_to_act_on(answers) -> None:
    decision = decide(answers, TABLE)
    assert bool(decision.outcome.binding) == (decision.operate != "V0")
    assert {rule.level for rule in decision.outcome.binding} <= {decision.operate}


def test_at_the_bottom_nothing_binds_and_nothing_can_lower() -> None:
    decision = decide([answer(code, value) for code, value in most_open().items()], TABLE)
    assert (decision.lowest, decision.operate, decision.run) == ("V0", "V0", "go")
    assert decision.reasons == decision.lowering == decision.together == decision.outcome.binding == ()
    assert decision.narrowest is None


def test_a_single_change_is_found_at_each_level_it_reaches() -> None:
    decision = decide(from_values(**most_open(F="broken")), TABLE)
    assert [(dict(change.answers), change.level) for change in decision.lowering] == [
        ({"F": "robust"}, "V0"),
        ({"F": "degrades"}, "V1"),
    ]


def test_the_unknown_to_find_out_first_is_the_one_that_would_lower_most() -> None:
    known = most_open(A="capability", F="broken", W="unexplained")
    del known["U"], known["B"]
    decision = decide(from_values(**known), TABLE)
    assert decision.unknown == ("B", "U")
    assert decision.narrowest is not None
    assert dict(decision.narrowest.answers) == {"U": "none_or_diffuse"}


def test_unknown_u_widens_the_level_most(levels) -> None:
    widths = {code: (levels.max(axis) - levels.min(axis)).mean() for axis, code in enumerate(TABLE.criteria)}
    assert max(widths, key=widths.__getitem__) == "U"


def test_all_pairs_of_unknowns_stay_exact(levels) -> None:
    """Exhaustive where Hypothesis samples: any two criteria open, the rest at either end."""
    for (i, a), (j, b) in combinations(enumerate(TABLE.criteria), 2):
        for rest in (0, -1):
            known = {code: scale[rest] for code, scale in list(TABLE.scales.items())[:11] if code not in (a, b)}
            at = [slice(None) if k in (i, j) else rest for k in range(11)]
            decision = decide(from_values(**known), TABLE)
            assert decision.lowest == LEVELS[levels[tuple(at)].min()]
            assert decision.operate == LEVELS[levels[tuple(at)].max()]
