"""AUROC and its interval, by definition, by scikit-learn, and by how often the interval holds the truth."""

from math import erf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from darklantern.methods.directions import auroc
from darklantern.methods.directions.scoring import interval


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40))
def test_auroc_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows])
    if labels.all() or not labels.any():
        return
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert auroc(-scores, labels) == pytest.approx(1 - auroc(scores, labels), abs=1e-12)


@pytest.mark.parametrize(("count", "step"), [(10, 1.5), (20, 2.5), (30, 1.0), (200, 2.0)])
def test_a_95_percent_interval_holds_the_truth_about_as_often(count: int, step: float) -> None:
    rng = np.random.default_rng(0)
    truth = 0.5 * (1 + erf(step / 2))
    labels = np.repeat([True, False], count)
    found = [interval(rng.normal(size=2 * count) + step * labels, labels) for _ in range(600)]
    assert 0.92 <= np.mean([each.low <= truth <= each.high for each in found]) <= 0.99


def test_one_mistake_makes_no_interval_surer_than_none() -> None:
    labels = np.arange(20) >= 10
    clean, spoiled = np.arange(20.0), np.arange(20.0)
    spoiled[[9, 10]] = spoiled[[10, 9]]
    none, one = interval(clean, labels), interval(spoiled, labels)
    assert (one.low, one.high) < (none.low, none.high) and one.high < 1
    assert one.high - one.low > none.high - none.low  # an interval by what was seen would be narrower than 0.06


def test_scores_that_are_all_alike_leave_nearly_everything_open() -> None:
    found = interval(np.zeros(20), np.arange(20) >= 10)
    assert found.value == 0.5 and found.low == pytest.approx(1 - found.high) and found.low < 0.3


def test_without_a_mistake_the_interval_says_what_few_examples_cannot_exclude() -> None:
    few, many = (interval(np.arange(2.0 * n), np.arange(2 * n) >= n) for n in (5, 500))
    assert few.value == few.high == many.value == 1.0
    assert 0.5 < few.low < 0.85
    assert 0.99 < many.low < 1
    assert interval(-np.arange(10.0), np.arange(10) >= 5)[:2] == (0.0, 0.0)
