"""Simulated raters and forecasters: the figures on which the design of the process rests."""

import numpy as np
import pytest

from darklantern.assess import load
from darklantern.assess.tracking import Levels, alpha_width, disagreement, power, resolved_for

TABLE = load()


@pytest.fixture(scope="module")
def every(levels: np.ndarray) -> Levels:
    return Levels(tuple(TABLE.criteria), levels)


@pytest.mark.parametrize(
    ("measured", "differ"),
    [("", 0.496), ("ANBGEFK", 0.362), ("ANBGEFKW", 0.306), ("ANBGEFKWU", 0.171), ("UWG", 0.309)],
)
def test_two_raters_differ_as_often_as_was_found_and_measuring_helps(
    every: Levels, measured: str, differ: float
) -> None:
    """The figures were simulated elsewhere, once, so that both are off by their own error."""
    found = disagreement(every, measured)
    assert found.differ == pytest.approx(differ, abs=0.012)
    if not measured:
        assert found.by_two == pytest.approx(0.089, abs=0.008)


def test_raters_without_mistakes_agree(every: Levels) -> None:
    assert disagreement(every, mistake=0.0).differ == 0.0
    assert disagreement(every, "AGBNWFEKUSO", mismeasured=0.0).differ == 0.0


@pytest.mark.parametrize(("resolved", "expected"), [(20, 0.19), (80, 0.50), (160, 0.76)])
def test_power_to_beat_the_base_rate(resolved: int, expected: float) -> None:
    """A calibrated forecaster whose probabilities spread as Beta(.6, 3.4), tested at 5 % on one side."""
    assert power(resolved) == pytest.approx(expected, abs=0.03)


def test_a_forecaster_who_only_knows_the_base_rate_is_seldom_seen_to_beat_it() -> None:
    assert power(160, spread=1e6) < 0.1
    assert resolved_for(0.8) == pytest.approx(175, rel=0.15)


@pytest.mark.parametrize(("raters", "items", "width"), [(3, 5, 1.00), (3, 20, 0.47), (3, 60, 0.26), (5, 60, 0.21)])
def test_intervals_of_alpha_are_as_wide_as_was_found(raters: int, items: int, width: float) -> None:
    found = alpha_width(raters, items)
    assert found.alpha == pytest.approx(0.6, abs=0.12)
    assert found.width == pytest.approx(width, abs=0.05 + 2 * found.error)
