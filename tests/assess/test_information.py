"""Channels whose information is known exactly: the estimate comes near, the lower bound stays below.

A test that asks for the truth *inside* a 95 % interval would fail where the estimate is right
(clipping at the identity, a fitted predictor on noise). What must hold is lower bound ≤ truth and
estimate ≥ truth − tolerance.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))  # last: what tests call by the same name stays theirs

from assessing.channels import CASES, Case

from darklantern.assess import pvi_bits
from darklantern.assess.bits import pvi_range
from darklantern.assess.bounds import Trials, empirical_bernstein, median_bounds, wilson
from darklantern.errors import AssessmentError

N = 4000


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_known_channels(case: Case) -> None:
    predicted, held_out = case.predicted(N, np.random.default_rng(7))
    prior = [1 / case.classes] * case.classes
    bits = pvi_bits(predicted, held_out, prior)
    lower, upper = empirical_bernstein(bits.tolist(), *pvi_range(prior))
    assert lower <= case.truth <= case.budget
    assert bits.mean() >= case.truth - 0.03
    assert bits.mean() - lower < 0.1, "4000 messages are enough for a useful bound"
    assert upper > bits.mean()
    low, high = pvi_range(prior)
    assert (bits >= low).all()
    assert (bits <= high).all()


def test_one_confident_mistake_costs_a_bounded_number_of_bits() -> None:
    (bits,) = pvi_bits([[1.0, 0.0]], [1], [0.5, 0.5])
    assert bits == pytest.approx(pvi_range([0.5, 0.5])[0])


@pytest.mark.parametrize(
    ("predicted", "truth", "prior", "message"),
    [
        ([[0.5, 0.5]], [0, 1], [0.5, 0.5], "shape"),
        ([[0.5, 0.6]], [0], [0.5, 0.5], "no probabilities"),
        ([[1.5, -0.5]], [0], [0.5, 0.5], "no probabilities"),
        ([[0.5, 0.5]], [0], [0.5, 0.6], "sum to 1"),
        ([[0.5, 0.5]], [0], [1.0, 0.0], "positive"),
        ([[0.5, 0.5]], [2], [0.5, 0.5], "no class"),
        ([[0.5, 0.5]], [-1], [0.5, 0.5], "no class"),
    ],
)
def test_numbers_that_are_no_prediction_are_refused(predicted, truth, prior, message) -> None:
    with pytest.raises(AssessmentError, match=message):
        pvi_bits(predicted, truth, prior)


@pytest.mark.parametrize(("successes", "lower"), [(7, 0.529), (6, 0.409)])
def test_seven_of_eight_families_reach_a_half_and_six_do_not(successes, lower) -> None:
    assert wilson(Trials(successes, 8))[0] == pytest.approx(lower, abs=0.0005)


def test_wilson_stays_within_shares() -> None:
    assert wilson(Trials(0, 5))[0] == 0.0
    assert wilson(Trials(5, 5))[1] == 1.0


def test_bernstein_covers_what_a_normal_interval_would_miss() -> None:
    """Rare large values at n = 30: the normal bound fails often, this one must not (miss ≤ 5 %)."""
    random = np.random.default_rng(3)
    samples = (random.random((2000, 30)) < 0.05).astype(float)
    assert np.mean([empirical_bernstein(row, 0, 1)[0] > 0.05 for row in samples.tolist()]) <= 0.05
    assert np.mean([empirical_bernstein(row, 0, 1)[1] < 0.05 for row in samples.tolist()]) <= 0.05


def test_one_value_bounds_nothing() -> None:
    assert empirical_bernstein([0.5], 0, 1) == (-np.inf, np.inf)


def test_the_median_needs_four_runs_and_its_bounds_cover() -> None:
    assert median_bounds([1.0, 1.0, 1.0]) == (-np.inf, np.inf)
    assert median_bounds([4.0, 1.0, 3.0, 2.0]) == (1.0, 4.0)
    random = np.random.default_rng(5)
    for n in (4, 7, 12):
        bounds = [median_bounds(row) for row in random.exponential(size=(2000, n)).tolist()]
        assert np.mean([upper < np.log(2) for _, upper in bounds]) <= 0.12
        assert np.mean([lower > np.log(2) for lower, _ in bounds]) <= 0.12
