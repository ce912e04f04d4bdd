"""The bet on fresh rows: exact on all assignments of few rows, and at its stated rate over simulated streams."""

from collections.abc import Callable
from itertools import combinations, pairwise, permutations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.errors import WatchError
from darklantern.records.exact import decode, encode
from darklantern.watch.judging import betting
from darklantern.watch.judging.rates import clopper_pearson

Rows = np.ndarray
SCORES = st.integers(-3, 3).map(float)


def wealth(bet: betting.Bet) -> float:
    return float(np.exp(bet.log_wealth))


def pairs(most: int = 8):
    """As many training scores as trusted ones, often tied."""
    return st.integers(1, most).flatmap(
        lambda n: st.tuples(st.lists(SCORES, min_size=n, max_size=n), st.lists(SCORES, min_size=n, max_size=n))
    )


@pytest.mark.parametrize(
    "pooled",
    [(1, 2), (0, 0), (1, 2, 3, 4), (1, 1, 1, 2), (5, 5, 5, 5), (0, 1, 1, 1, 2, 2), (1, 2, 3, 4, 5, 6)],
    ids=str,
)
def test_over_all_assignments_of_rows_to_sides_the_factor_is_1_on_average(pooled: tuple[float, ...]) -> None:
    """Every way to call half of the pooled rows training rows is as likely as any other."""
    n = len(pooled) // 2
    grown = []
    before = betting.look(betting.start((0.3, 0.9), (1, 2, 3, 7)), [2.0, 1.0], [0.0, 1.5])
    for ours in combinations(range(2 * n), n):
        theirs = [i for i in range(2 * n) if i not in ours]
        grown.append(betting.look(before, [pooled[i] for i in ours], [pooled[i] for i in theirs]))
    after = float(np.mean([wealth(bet) for bet in grown]))
    assert after == pytest.approx(wealth(before), rel=1e-12)


@given(pairs(), st.integers(1, 20))
def test_a_swap_of_the_sides_turns_the_lean_around_exactly(rows: tuple[list[float], list[float]], top: int) -> None:
    ours, theirs = (np.array(side) for side in rows)
    found = betting.lean(ours, theirs, top)
    assert -1 <= found <= 1
    assert betting.lean(theirs, ours, top) == -found
    if top >= 2 * len(ours):
        assert found == 0


@settings(max_examples=40, deadline=None)
@given(pairs(3), st.integers(1, 6))
def test_a_tie_counts_as_a_fair_draw_would_on_average(rows: tuple[list[float], list[float]], top: int) -> None:
    """Oracle: sort in every order that equals may come in, take the first rows, count sides."""
    pooled = [(score, side) for scores, side in zip(rows, (1, -1), strict=True) for score in scores]
    top = min(top, len(pooled))
    drawn = [sum(side for _, side in sorted(order, key=first)[:top]) / top for order in permutations(pooled)]
    assert betting.lean(np.array(rows[0]), np.array(rows[1]), top) == pytest.approx(np.mean(drawn), abs=1e-12)


def first(row: tuple[float, int]) -> float:
    """Highest scores first; sorting leaves equals in the order they came in."""
    return -row[0]


@given(st.lists(pairs(), max_size=12))
def test_wealth_is_the_mean_of_products(looks) -> None:
    """Oracle: the products in plain numbers."""
    stakes, tops = (0.1, 0.5, 0.95), (1, 3)
    bet = betting.start(stakes, tops)
    parts = np.ones((3, 2))
    for ours, theirs in looks:
        bet = betting.look(bet, ours, theirs)
        d = np.array([betting.lean(np.array(ours), np.array(theirs), top) for top in tops])
        parts = parts * (1 + np.array(stakes)[:, None] * d)
        assert wealth(bet) == pytest.approx(parts.mean(), rel=1e-9)
    assert bet.looks == len(looks)


def normal(rng: np.random.Generator, looks: int, n: int) -> tuple[Rows, Rows]:
    return rng.normal(size=(looks, n)), rng.normal(size=(looks, n))


def autocorrelated(rng: np.random.Generator, looks: int, n: int) -> tuple[Rows, Rows]:
    """What all rows of a look have in common follows an AR(.8) and moves far more than rows differ."""
    common = np.zeros(looks)
    for t in range(1, looks):
        common[t] = 0.8 * common[t - 1] + rng.normal()
    ours, theirs = normal(rng, looks, n)
    return ours + 5 * common[:, None], theirs + 5 * common[:, None]


def trending(rng: np.random.Generator, looks: int, n: int) -> tuple[Rows, Rows]:
    """Level and spread both shrink as training goes on."""
    ours, theirs = normal(rng, looks, n)
    fall = np.exp(-np.linspace(0, 4, looks))[:, None]
    return fall * (10 + ours), fall * (10 + theirs)


def heavy(rng: np.random.Generator, looks: int, n: int) -> tuple[Rows, Rows]:
    return rng.standard_cauchy(size=(looks, n)), rng.standard_cauchy(size=(looks, n))


def tied(rng: np.random.Generator, looks: int, n: int) -> tuple[Rows, Rows]:
    return rng.integers(3, size=(looks, n)).astype(float), rng.integers(3, size=(looks, n)).astype(float)


LAWS = [normal, autocorrelated, trending, heavy, tied]


def alarms(law: Callable[..., tuple[Rows, Rows]], alpha: float, streams: int, looks: int, strength: float = 0.0) -> int:
    """How many of `streams` ever alarm; with `strength`, one training row in eight stands out by so much."""
    rng, found = np.random.default_rng([71, LAWS.index(law)]), 0
    for _ in range(streams):
        ours, theirs = law(rng, looks, 8)
        ours = ours + strength * (rng.random(ours.shape) < 1 / 8)
        bet = betting.start((0.2, 0.8), (1, 4))
        for training, trusted in zip(ours, theirs, strict=True):
            bet = betting.look(bet, training, trusted)
            if bet.log_wealth >= betting.limit(alpha).value:
                found += 1
                break
    return found


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_harmless_streams_alarm_no_more_often_than_alpha_whatever_their_law(law) -> None:
    """Ville at α = .1 over 600 streams a law: the exact 99.9 % lower bound of the rate is not above .1."""
    false = alarms(law, 0.1, 600, 60)
    assert clopper_pearson(false, 600, 0.998)[0] <= 0.1
    assert false >= 6, "and it is no bet that nothing could win"


def test_poison_is_found_in_nearly_every_stream() -> None:
    assert alarms(autocorrelated, 0.01, 30, 80, strength=6.0) >= 28


def test_unequal_or_no_rows_leave_the_wealth_and_say_so() -> None:
    bet = betting.look(betting.start(), [3.0, 4.0], [1.0, 2.0])
    for ours, theirs in (([1.0], [1.0, 2.0]), ([], []), ([], [1.0])):
        after = betting.look(bet, ours, theirs)
        assert (after.logs, after.looks, after.idle) == (bet.logs, 2, 1)
        assert f"{len(ours)} training and {len(theirs)} trusted rows" in after.said
    assert betting.look(after, [1.0], [0.0]).said == ""


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_no_number_is_refused_by_side(bad: float) -> None:
    with pytest.raises(WatchError, match="1 of 2 scores of training rows"):
        betting.look(betting.start(), [bad, 0.0], [0.0, 0.0])
    with pytest.raises(WatchError, match="1 of 2 scores of trusted rows"):
        betting.look(betting.start(), [0.0, 0.0], [0.0, bad])
    with pytest.raises(WatchError, match="one score for each trusted row"):
        betting.look(betting.start(), [0.0], [[0.0]])


@pytest.mark.parametrize(("stakes", "tops"), [((1.0,), (1,)), ((0.0,), (1,)), ((), (1,)), ((0.5,), ()), ((0.5,), (0,))])
def test_a_stake_that_could_lose_all_or_none_is_refused(stakes, tops) -> None:
    with pytest.raises(WatchError, match="stakes between 0 and 1"):
        betting.start(stakes, tops)


def test_a_bet_comes_back_from_its_bytes_and_an_earlier_one_goes_on_as_it_did() -> None:
    rng = np.random.default_rng(5)
    held = [betting.start()]
    rows = [normal(rng, 1, 16) for _ in range(6)]
    for ours, theirs in rows:
        held.append(betting.look(held[-1], ours[0], theirs[0]))
    again = decode(betting.Bet, encode(held[3]))
    assert again == held[3]
    for ours, theirs in rows[3:]:
        again = betting.look(again, ours[0], theirs[0])
    assert again == held[-1]
    assert all(one.looks + 1 == two.looks for one, two in pairwise(held))


def test_a_limit_is_where_the_wealth_reaches_one_over_alpha() -> None:
    assert (betting.limit(0.01).value, betting.limit(0.01).alpha) == (pytest.approx(np.log(100)), 0.01)
    with pytest.raises(WatchError, match="between 0 and 1"):
        betting.limit(0.0)
    bet, looks = betting.start((0.5,), (1,)), 0
    while bet.log_wealth < betting.limit(1 / 20).value:
        bet, looks = betting.look(bet, [1.0], [0.0]), looks + 1
    assert looks == 8, "1.5^7 < 20 ≤ 1.5^8"
    assert msgspec.structs.replace(bet, logs=(5000.0,)).log_wealth == 5000.0
