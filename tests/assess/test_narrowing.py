"""What to find out first: by brute force, and as often as the spec's page says."""

import numpy as np
import pytest
from hypothesis import given, settings

from darklantern.assess import combine, decide
from darklantern.assess.narrowing import narrowing
from darklantern.records.assessments import LEVELS

from .answers import TABLE, from_values, many_answers, most_open


@settings(max_examples=60, deadline=None)
@given(many_answers())
def test_it_is_what_settling_each_value_comes_to(answers) -> None:
    left = combine(answers, TABLE)
    now = decide(answers, TABLE)
    found = {each.criterion: each for each in narrowing(left, TABLE)}
    assert set(found) == {code for code, each in left.items() if len(each.values) > 1}
    for code, each in found.items():
        widths, levels = [], []
        for value in left[code].values:
            settled = [a for a in from_values(**{code: value})]
            other = [
                answer
                for name, open_ in left.items()
                if name != code
                for answer in [from_values(**{name: open_.values[0]})[0]]
            ]
            other = [
                type(answer)(
                    criterion=answer.criterion,
                    values=left[answer.criterion].values,
                    kind=answer.kind,
                    rater="r",
                    protocol="rubric/1",
                )
                for answer in other
            ]
            made = decide([*settled, *other], TABLE)
            widths.append(LEVELS.index(made.operate) - LEVELS.index(made.lowest))
            levels.append(LEVELS.index(made.operate))
        wide = LEVELS.index(now.operate) - LEVELS.index(now.lowest)
        assert each.expected == pytest.approx(wide - np.mean(widths))
        assert each.lowered == pytest.approx(LEVELS.index(now.operate) - np.mean(levels))
        assert each.best == LEVELS[min(levels)]


def test_what_is_known_needs_no_finding_out() -> None:
    assert narrowing(combine(from_values(**most_open()), TABLE), TABLE) == ()


def test_the_cheapest_narrowing_comes_first_where_costs_are_known() -> None:
    left = combine(from_values(**{code: value for code, value in most_open().items() if code not in "UAF"}), TABLE)
    plain = [each.criterion for each in narrowing(left, TABLE)]
    costs = {"U": None, "A": 36_000.0, "F": 60.0}
    by_cost = narrowing(left, TABLE, costs)
    assert set(plain) == {"U", "A", "F"} and by_cost[0].criterion == "F" and by_cost[-1].criterion == "U"
    assert by_cost[0].per_hour == pytest.approx(60 * by_cost[0].expected) and by_cost[-1].per_hour is None


def test_the_spec_says_how_wide_one_unknown_makes_the_level(levels) -> None:
    """The mean range over all assignments of the others: U dominates."""
    said = {"U": 1.46, "G": 0.88, "A": 0.60, "W": 0.57, "O": 0.06}
    for code, wide in said.items():
        axis = list(TABLE.criteria).index(code)
        found = (levels.max(axis=axis) - levels.min(axis=axis)).mean()
        assert found == pytest.approx(wide, abs=0.006), code
