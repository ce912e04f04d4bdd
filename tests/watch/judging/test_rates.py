"""Intervals against enumeration, against published values, and against simulated calibrations."""

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import WatchError
from darklantern.watch.judging import detectors, rates


def enumerated(runs: int, rank: int, further: int) -> list[Fraction]:
    """P(count of further runs above the rank-th largest reference), over all orders of reference and further runs.

    Only which places are the further runs' matters; each set of places is as likely as any other.
    """
    counts = [0] * (further + 1)
    for places in combinations(range(runs + further), further):  # place 0 is the highest
        references = [place for place in range(runs + further) if place not in places]
        counts[sum(place < references[rank - 1] for place in places)] += 1
    return [Fraction(count, comb(runs + further, further)) for count in counts]


@pytest.mark.parametrize(("runs", "rank", "further"), [(3, 1, 4), (5, 2, 4), (6, 6, 3), (9, 1, 3), (4, 3, 6)])
def test_the_beta_binomial_is_what_all_orders_of_runs_give(runs: int, rank: int, further: int) -> None:
    exact = enumerated(runs, rank, further)
    found = [rates.beta_binomial(count, further, rank, runs + 1 - rank) for count in range(further + 1)]
    assert found == pytest.approx([float(mass) for mass in exact], rel=1e-10)
    for level in (0.5, 0.8, 0.95):
        low, high = rates.predicted(runs, rank, further, level)
        aside = (1 - level) / 2
        assert sum(exact[:low]) <= aside < sum(exact[: low + 1])
        assert sum(exact[high + 1 :]) <= aside < sum(exact[high:])


@given(st.integers(1, 300), st.data())
def test_the_chance_that_one_further_run_is_above_is_rank_over_runs_plus_1(runs: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, runs))
    assert rates.beta_binomial(1, 1, rank, runs + 1 - rank) == pytest.approx(rank / (runs + 1), rel=1e-9)


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 20, 0.0, 0.16843347),  # 1 − .025^(1/20)
        (20, 20, 0.83156653, 1.0),
        (1, 1, 0.025, 1.0),
        (5, 10, 0.18708603, 0.81291397),
        (1, 20, 0.00126509, 0.24873276),
        (3, 100, 0.00622998, 0.08517605),
    ],
)
def test_clopper_pearson_gives_the_tables_values(count: int, of: int, low: float, high: float) -> None:
    assert rates.clopper_pearson(count, of) == pytest.approx((low, high), abs=1e-7)


@given(st.integers(1, 60), st.data(), st.floats(0.5, 0.999))
def test_clopper_pearson_leaves_half_the_rest_on_each_side(of: int, data: st.DataObject, level: float) -> None:
    count = data.draw(st.integers(0, of))
    low, high = rates.clopper_pearson(count, of, level)
    assert low <= count / of <= high
    if count:
        assert rates.at_least(count, of, low) == pytest.approx((1 - level) / 2, rel=1e-6)
    if count < of:
        assert 1 - rates.at_least(count + 1, of, high) == pytest.approx((1 - level) / 2, rel=1e-6)


@given(st.integers(1, 25), st.integers(0, 25), st.integers(0, 8))
def test_the_binomial_tail_is_the_sum_of_its_terms(of: int, count: int, eighths: int) -> None:
    p = Fraction(eighths, 8)
    exact = sum(comb(of, k) * p**k * (1 - p) ** (of - k) for k in range(count, of + 1))
    assert rates.at_least(count, of, float(p)) == pytest.approx(float(exact), rel=1e-9, abs=1e-300)


def test_the_rate_of_a_threshold_is_within_its_interval_as_often_as_stated() -> None:
    """Uniform maxima: the rate that a threshold turns out to have is 1 − its value."""
    rng, inside, trials = np.random.default_rng(3), 0, 4000
    low, high = rates.run_rate(39, 2, 0.9)
    for maxima in rng.random((trials, 39)):
        inside += low <= 1 - detectors.threshold(maxima.tolist(), 0.05).value <= high
    left, right = rates.clopper_pearson(inside, trials, 0.999)
    assert left <= 0.9 <= right


def test_a_hundred_references_say_how_far_a_hundred_further_runs_may_go() -> None:
    """R = 99, α = .05: rank 5, so 5 % on average, and up to 12 % may be seen."""
    low, high = rates.predicted(99, 5, 100)
    assert (low, high) == (0, 12)
    assert rates.run_rate(99, 5)[0] == pytest.approx(0.0166, abs=5e-4)
    assert rates.run_rate(99, 5)[1] == pytest.approx(0.1002, abs=5e-4)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    assert rates.auroc([0.0, 1.0], [2.0, 3.0]) == 1.0
    assert rates.auroc([2.0, 3.0], [0.0, 1.0]) == 0.0
    assert rates.auroc([1.0, 1.0], [1.0]) == 0.5
    assert rates.auroc([0.0, 2.0], [1.0, 2.0, 3.0]) == pytest.approx((1 + 1.5 + 2) / 6)


@pytest.mark.slow
def test_the_interval_of_an_auroc_holds_the_true_one_about_as_often_as_stated() -> None:
    """Two normals one standard deviation apart: Φ(1/√2) = .760."""
    rng, inside = np.random.default_rng(8), 0
    for seed in range(200):
        low, high = rates.auroc_interval(rng.normal(size=40).tolist(), rng.normal(1, 1, 40).tolist(), seed, 0.9, 300)
        inside += low <= 0.76025 <= high
    assert 160 <= inside <= 196
    assert rates.auroc_interval([0.0, 1.0], [1.0, 2.0], 4) == rates.auroc_interval([0.0, 1.0], [1.0, 2.0], 4)


def test_what_cannot_be_a_rate_is_refused() -> None:
    for call in (
        lambda: rates.predicted(19, 0, 10),
        lambda: rates.run_rate(19, 20),
        lambda: rates.clopper_pearson(3, 2),
        lambda: rates.clopper_pearson(0, 0),
        lambda: rates.clopper_pearson(1, 2, 1.0),
        lambda: rates.auroc([], [1.0]),
    ):
        with pytest.raises(WatchError, match="expected"):
            call()
