"""Channels whose information is known exactly: the estimate comes near, the lower bound stays below.

A test that asks for the truth *inside* a 95 % interval would fail where the estimate is right
(clipping at the identity, a fitted predictor on noise). What must hold is lower bound ≤ truth and
estimate ≥ truth − tolerance.
"""

from math import log2

import numpy as np
import pytest

from darklantern.assess import pvi_bits
from darklantern.assess.bits import pvi_range
from darklantern.assess.bounds import Trials, empirical_bernstein, median_bounds, wilson
from darklantern.errors import AssessmentError

N = 4000


def histogram(train_o, train_y, test_o, classes) -> np.ndarray:
    """A predictor of the richest kind for few symbols: smoothed counts of each symbol."""
    counts = np.full((int(max(train_o.max(), test_o.max())) + 1, classes), 0.5)
    np.add.at(counts, (train_o, train_y), 1)
    return (counts / counts.sum(axis=1, keepdims=True))[test_o]


def bitwise(train_o, train_y, test_o, classes) -> np.ndarray:
    """A weaker family, naive Bayes over the bits of a symbol: it cannot see an XOR."""
    odds = np.ones((len(test_o), classes))
    for bit in range(int(max(train_o.max(), test_o.max())).bit_length()):
        odds *= histogram(train_o >> bit & 1, train_y, test_o >> bit & 1, classes)
    return odds / odds.sum(axis=1, keepdims=True)


def identity(random, y) -> np.ndarray:
    return y


def independent(random, y) -> np.ndarray:
    return random.integers(2, size=y.size)


def binary_symmetric(random, y) -> np.ndarray:
    return y ^ (random.random(y.size) < 0.11)


def erasure(random, y) -> np.ndarray:
    return np.where(random.random(y.size) < 0.3, 2, y)


def xor(random, y) -> np.ndarray:
    key = random.integers(2, size=y.size)
    return 2 * key + (y ^ key)


def one_time_pad(random, y) -> np.ndarray:
    return y ^ random.integers(2, size=y.size)


def one_bit_in_eight(random, y) -> np.ndarray:
    return y + 2 * random.integers(128, size=y.size)


def entropy(p) -> float:
    return -p * log2(p) - (1 - p) * log2(1 - p)


CHANNELS = [
    # (channel, predictor, classes, true bits for that family of predictors, budget in bits)
    (identity, histogram, 4, 2.0, 2.0),
    (independent, histogram, 2, 0.0, 1.0),
    (binary_symmetric, histogram, 2, 1 - entropy(0.11), 1.0),
    (erasure, histogram, 2, 0.7, log2(3)),
    (xor, bitwise, 2, 0.0, 2.0),
    (xor, histogram, 2, 1.0, 2.0),
    (one_time_pad, histogram, 2, 0.0, 1.0),
    (one_bit_in_eight, bitwise, 2, 1.0, 8.0),
]
NAMES = [f"{channel.__name__}-{predictor.__name__}" for channel, predictor, *_ in CHANNELS]


@pytest.mark.parametrize(("channel", "predictor", "classes", "truth", "budget"), CHANNELS, ids=NAMES)
def test_known_channels(channel, predictor, classes, truth, budget) -> None:
    random = np.random.default_rng(7)
    y, held_out = random.integers(classes, size=(2, N))
    predicted = predictor(channel(random, y), y, channel(random, held_out), classes)
    prior = [1 / classes] * classes
    bits = pvi_bits(predicted, held_out, prior)
    lower, upper = empirical_bernstein(bits.tolist(), *pvi_range(prior))
    assert lower <= truth <= budget
    assert bits.mean() >= truth - 0.03
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
