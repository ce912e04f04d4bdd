import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.drawing.scales import Scale, number, tick_labels, tick_step, ticks, whole

finite = st.floats(-1e12, 1e12)


@given(finite, finite, st.integers(1, 12))
def test_ticks_lie_within_rise_evenly_and_are_about_as_many_as_asked(one: float, two: float, about: int) -> None:
    low, high = sorted((one, two))
    made = ticks(low, high, about)
    assert made and all(low <= tick <= high for tick in made)
    assert len(made) <= 2 * about + 1
    step = tick_step(low, high, about)
    for before, after in pairwise(made):
        assert math.isclose(after - before, step, rel_tol=1e-5)


@given(finite, finite, st.integers(1, 12))
def test_tick_steps_are_one_two_or_five(one: float, two: float, about: int) -> None:
    step = tick_step(*sorted((one, two)), about)
    if step:
        assert round(step / 10 ** math.floor(math.log10(step) + 1e-9)) in (1, 2, 5)


@given(finite, finite)
def test_tick_labels_tell_ticks_apart(one: float, two: float) -> None:
    made = ticks(*sorted((one, two)))
    assert len(set(tick_labels(made))) == len(made)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (400, 800, (400, 500, 600, 700, 800)),
        (3, 3, (3,)),
        (-1, 1, (-1, -0.5, 0, 0.5, 1)),
    ],
)
def test_ticks_of_everyday_ranges(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert ticks(low, high) == expected


@pytest.mark.parametrize("low_high", [(0.0, 5e-324), (-1e100, 1e100), (1e16, 1e16 + 2), (0.0, 0.0)])
def test_ticks_at_the_edge_of_floats(low_high: tuple[float, float]) -> None:
    assert ticks(*low_high)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (-1.5, "−1.5"), (0.031249, "0.0312"), (999.7, "1000"), (1234, "1234"), (120_000, "120k"),
     (3_500_000, "3.5M"), (2e9, "2G"), (0.00001, "1e−5"), (-4.2e15, "−4.2e15"), (0.1 + 0.2, "0.3")],
)  # fmt: skip
def test_numbers_are_short_and_true(value: float, expected: str) -> None:
    assert number(value) == expected


def test_labels_take_as_many_figures_as_they_need() -> None:
    assert tick_labels((9.95, 10.0, 10.05)) == ["9.95", "10", "10.05"]
    assert tick_labels((100_000, 100_500)) == ["100k", "100.5k"]


def test_steps_are_written_in_full() -> None:
    assert whole(1_234_567) == "1234567"


def test_a_flat_scale_puts_its_value_in_the_middle() -> None:
    assert Scale(3, 3, 0, 100)(3) == 50
