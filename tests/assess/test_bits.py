"""What is released, counted in bits: exact cases, and bounds that no distribution breaks."""

from itertools import product
from math import inf, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.assess.bits import (
    CODECS,
    Outlet,
    amortised,
    artifact_cost,
    conditional_information_bits,
    distinct_outputs_bits,
    efficiency_of,
    entropy_bits,
    information_bits,
    leakage_factor,
    min_capacity_bits,
    online_code,
    pvi_bits,
)
from darklantern.errors import AssessmentError


def bsc(flip: float) -> np.ndarray:
    return np.array([[1 - flip, flip], [flip, 1 - flip]])


# The outlet


@pytest.mark.parametrize(
    ("outlet", "messages"),
    [
        (Outlet(symbols=2), 2),
        (Outlet(symbols=2, lengths=(0, 1)), 3),
        (Outlet(symbols=2, refusals=1), 3),
        (Outlet(symbols=256, lengths=(1, 2)), 256 + 65536),
        (Outlet(symbols=3, lengths=(2,), ordered=False), 6),
        (Outlet(symbols=2, slots=5, refusals=1), 15),
    ],
)
def test_the_budget_is_the_logarithm_of_what_can_be_told_apart(outlet, messages) -> None:
    assert outlet.messages == messages
    assert outlet.bits(3) == pytest.approx(3 * log2(messages))
    symbols, seen = range(outlet.symbols), set()
    for length in outlet.lengths if messages < 100 else ():
        sent = product(symbols, repeat=length)
        seen |= {(length, each if outlet.ordered else tuple(sorted(each))) for each in sent}
    assert messages >= 100 or outlet.slots * (len(seen) + outlet.refusals) == messages


@pytest.mark.parametrize(
    "wrong", [{"symbols": 0}, {"slots": 0}, {"lengths": ()}, {"lengths": (1, 1)}, {"refusals": -1}]
)
def test_an_outlet_that_cannot_be_is_refused(wrong) -> None:
    with pytest.raises(AssessmentError):
        Outlet(**{"symbols": 2, **wrong})


# Exact information, and slack


def test_information_of_known_joints() -> None:
    assert entropy_bits([0.5, 0.5]) == 1.0
    assert entropy_bits([1.0, 0.0]) == 0.0
    assert information_bits(bsc(0.11) / 2) == pytest.approx(1 - entropy_bits([0.11, 0.89]))
    pad = np.zeros((2, 2, 2))  # secret, message, key: a one-time pad
    for secret, key in product(range(2), repeat=2):
        pad[secret, secret ^ key, key] = 0.25
    assert information_bits(pad.sum(2)) == pytest.approx(0, abs=1e-12)
    assert conditional_information_bits(pad) == pytest.approx(1)


def test_no_secret_passes_through_what_the_truth_leaves_of_the_budget() -> None:
    """I(S; O | Y) ≤ B - I(Y; O) over 20,000 random joints of a secret, a message and a truth."""
    rng = np.random.default_rng(0)
    least = inf
    for _ in range(20_000):
        sizes = rng.integers(2, 5, 3)
        joint = rng.dirichlet(np.full(sizes.prod(), rng.choice([0.05, 0.3, 1.0]))).reshape(sizes)
        told = information_bits(joint.sum(0))  # (message, truth)
        least = min(least, log2(sizes[1]) - told - conditional_information_bits(joint))
    assert least > -1e-9


def test_slack_comes_from_the_lower_bound_and_is_the_whole_budget_where_nothing_is_shown() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=(2000, 5))
    sure = np.stack([1 - truth * 0.998 - 0.001, truth * 0.998 + 0.001], -1)
    bits = [pvi_bits(said, each, [0.5, 0.5]).tolist() for said, each in zip(sure, truth, strict=True)]
    one, eight = efficiency_of(bits, 1.0, [0.5, 0.5]), efficiency_of(bits, 8.0, [0.5, 0.5])
    assert one.eta_bound[0] > 0.9 and one.slack < 0.1
    assert eight.slack == pytest.approx(8 - one.bound[0])
    few = efficiency_of(bits[:5], 8.0, [0.5, 0.5])
    assert few.slack == 8.0 and few.normal[0] > 0.9  # the normal interval believes five models, the bound does not
    assert few.bound[0] < few.normal[0] <= few.value <= few.normal[1]


def test_bernstein_over_models_covers_where_a_normal_interval_does_not() -> None:
    """Nearly always right, seldom quite wrong: thirty models hardly ever show it."""
    rng = np.random.default_rng(1)
    missed = {"normal": 0, "bound": 0}
    for _ in range(400):
        wrong = rng.random(30) < 0.02
        said = np.where(wrong[:, None], [[0.99, 0.01]], [[0.01, 0.99]])
        found = efficiency_of([[float(b)] for b in pvi_bits(said, np.ones(30, int), [0.5, 0.5])], 1.0, [0.5, 0.5])
        right, mistake = pvi_bits([[0.01, 0.99], [0.99, 0.01]], [1, 1], [0.5, 0.5])
        truth = 0.98 * right + 0.02 * mistake
        missed["normal"] += found.normal[0] > truth
        missed["bound"] += found.bound[0] > truth
    assert missed["bound"] == 0 and missed["normal"] > 0.2 * 400


# The worst case


def test_min_capacity_of_known_channels() -> None:
    assert min_capacity_bits(bsc(0.11)) == pytest.approx(log2(1.78))
    assert min_capacity_bits(np.eye(4)) == 2.0
    assert min_capacity_bits(np.full((6, 3), 1 / 3)) == pytest.approx(0, abs=1e-12)
    assert distinct_outputs_bits(x * x % 11 for x in range(1, 11)) == pytest.approx(2.3219, abs=1e-4)


def test_no_gain_leaks_by_more_than_the_capacity_allows() -> None:
    """5,000 random channels, priors and gains: success after ≤ 2^ML × success before, ML ≤ log2 of the messages."""
    rng = np.random.default_rng(2)
    for _ in range(5000):
        secrets, messages, guesses = rng.integers(2, 6, 3)
        channel = rng.dirichlet(np.full(messages, 0.5), size=secrets)
        prior = rng.dirichlet(np.full(secrets, rng.choice([0.2, 1.0, 5.0])))
        gain = rng.random((guesses, secrets))
        before = (gain @ prior).max()
        after = (gain @ (prior[:, None] * channel)).max(0).sum()
        capacity = min_capacity_bits(channel)
        assert after <= leakage_factor(capacity) * before * (1 + 1e-12)
        assert capacity <= log2(messages) + 1e-12


# Artifacts


def bits_per_symbol(codes: np.ndarray) -> float:
    return 8 * min(len(code(codes.astype(np.uint8).tobytes())) for code in CODECS.values()) / codes.size


def test_codecs_come_near_the_entropy_of_what_has_no_structure() -> None:
    rng = np.random.default_rng(3)
    assert bits_per_symbol(rng.integers(256, size=65536)) == pytest.approx(8.0, abs=0.05)
    assert bits_per_symbol(np.zeros(65536)) < 0.01
    assert bits_per_symbol(rng.integers(4, size=65536)) == pytest.approx(2.0, abs=0.25)


def test_an_artifact_costs_what_its_coarsest_good_precision_costs() -> None:
    rng = np.random.default_rng(4)
    signs = rng.choice([-1.0, 1.0], 4096)
    found = artifact_cost(signs, lambda w: float(np.mean(np.sign(w) == signs)), 0.0)
    assert found.precision == 1 and found.value == 1.0
    assert 1.0 <= found.bits_per_number < 1.5
    numbers = rng.normal(size=4096)
    close = artifact_cost(numbers, lambda w: -float(np.abs(w - numbers).max()), 1e-3)
    loose = artifact_cost(numbers, lambda w: -float(np.abs(w - numbers).max()), 0.3)
    assert loose.precision < close.precision <= 16 and loose.bits < close.bits
    exact = artifact_cost(numbers, lambda w: -float(np.abs(w - numbers).max()), 1e-7)
    assert exact.precision == 32
    with pytest.raises(AssessmentError, match="finite"):
        artifact_cost(np.array([np.nan]), lambda w: 0.0, 0.1)


def test_a_code_knows_no_structure_so_that_its_length_is_an_upper_bound() -> None:
    """A matrix of rank 2 takes far less than its codes: what is cheap to say may look dear, never the other way."""
    rng = np.random.default_rng(5)
    low = rng.normal(size=(256, 2)) @ rng.normal(size=(2, 256))
    found = artifact_cost(low, lambda w: -float(((w - low) ** 2).mean()), 0.5)
    assert found.bits > 5 * (2 * 256 * 2 * found.precision)


@given(st.floats(0, 1), st.integers(0, 10**6), st.integers(1, 10**6))
def test_amortised_efficiency_rises_to_that_of_a_message(value, artifact, uses) -> None:
    once, later = amortised(value, 1.0, artifact, uses), amortised(value, 1.0, artifact, 2 * uses)
    assert 0 <= once <= later + 1e-12 and later <= value + 1e-12
    assert amortised(value, 1.0, 0, uses) == pytest.approx(value)
    assert amortised(0.5, 1.0, 1000, 10**9) == pytest.approx(0.5, abs=1e-5)


# Online code


def counts(seen: np.ndarray, classes: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Krichevsky and Trofimov's estimate for each symbol seen."""
    table = np.full((3, 2), 0.5)
    np.add.at(table, (seen.astype(int), classes), 1)
    return (table / table.sum(1, keepdims=True))[asked.astype(int)]


def test_online_codes_of_known_channels() -> None:
    """5,000 bits: nearly nH through a symmetric channel, more than nothing saves, hardly any of what is known."""
    rng = np.random.default_rng(6)
    n = 5000
    truth = rng.integers(2, size=n)
    noisy = online_code(truth ^ (rng.random(n) < 0.11), truth, 2, counts)
    assert n * entropy_bits([0.11, 0.89]) < noisy.bits < n * entropy_bits([0.11, 0.89]) + 200
    nothing = online_code(rng.integers(2, size=n), truth, 2, counts)
    assert n < nothing.bits < n + 250 and nothing.compression < 1
    known = online_code(truth, truth, 2, counts)
    assert known.bits < 200 and known.compression > 25
    assert noisy.uniform_bits == n and sum(noisy.blocks) == pytest.approx(noisy.bits)


def test_krichevsky_trofimov_keeps_its_promise() -> None:
    """One symbol a block is the KT code: at most half a logarithm and a bit above the best coin in hindsight."""
    rng = np.random.default_rng(7)
    truth = (rng.random(5000) < 0.2).astype(int)
    ones = np.cumsum(truth) - truth
    said = (ones + 0.5) / (np.arange(5000) + 1)
    expected = -np.log2(np.where(truth == 1, said, 1 - said)).sum()
    few = truth[:400]

    def learner(seen, classes, asked):
        share = (classes.sum() + 0.5) / (len(classes) + 1)
        return np.tile([1 - share, share], (len(asked), 1))

    found = online_code(np.zeros(400), few, 2, learner, ends=range(1, 401))
    by_hand = -np.log2(np.where(few == 1, said[:400], 1 - said[:400])).sum()
    assert found.bits == pytest.approx(by_hand)
    share = truth.mean()
    assert expected <= 5000 * entropy_bits([share, 1 - share]) + 0.5 * log2(5000) + 1


@pytest.mark.parametrize(
    "wrong", [{"ends": [5]}, {"ends": [5, 5, 10]}, {"classes": [2] * 10}, {"learner": lambda *_: np.ones((5, 2))}]
)
def test_codes_that_cannot_be_are_refused(wrong) -> None:
    options = {"ends": [5, 10], "classes": [0, 1] * 5, "learner": counts} | wrong
    with pytest.raises(AssessmentError):
        online_code(np.zeros(10), options["classes"], 2, options["learner"], options["ends"])
