"""Leads by their rules, on steps written by hand, and the interval of their median."""

import numpy as np
import pytest

from darklantern.errors import WatchError
from darklantern.watch.judging import leads


@pytest.mark.parametrize(
    ("alarm", "behaviours", "expected"),
    [
        (120, [150, 140, None], 20),
        (160, [150, None], -10),
        (None, [150], -200),
        (90, [150], -200),
        (100, [150], -200),
        (120, [90, 150], 30),
        (120, [90, 100, None], None),
        (None, [], None),
    ],
    ids=[
        "ahead of the first monitor",
        "behind it",
        "a miss is minus the window",
        "an alarm before onset is false",
        "so is one at onset",
        "a monitor's alarm before onset does not count",
        "no behaviour: censored",
        "nothing at all: censored",
    ],
)
def test_the_lead_of_a_run(alarm: int | None, behaviours: list[int | None], expected: int | None) -> None:
    assert leads.lead(alarm, behaviours, onset=100, end=300) == expected


def test_the_share_of_the_window_to_overt_behaviour() -> None:
    assert leads.share(150, 300, onset=100) == 0.75
    assert leads.share(350, 300, onset=100) == -0.25
    assert leads.share(None, 300, onset=100) == -1.0
    assert leads.share(90, 300, onset=100) == -1.0
    assert leads.share(150, None, onset=100) is None
    assert leads.share(150, 100, onset=100) is None


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(WatchError, match="before onset"):
        leads.lead(150, [200], onset=100, end=90)


def test_a_summary_counts_the_censored_and_leaves_them_out() -> None:
    found = leads.summarise([10, None, 30, 20, None, -100, 40], seed=1)
    assert (found.median, found.runs, found.censored) == (20, 5, 2)
    assert (found.lower_quartile, found.upper_quartile) == (10, 30)
    assert -100 <= found.low <= 20 <= found.high <= 40
    assert found == leads.summarise([10, None, 30, 20, None, -100, 40], seed=1)
    assert leads.summarise([None], seed=1) is None
    alike = leads.summarise([7.0] * 20, seed=1)
    assert (alike.low, alike.high) == (7.0, 7.0)
    with pytest.raises(WatchError, match="level"):
        leads.summarise([1], seed=1, level=0.0)


@pytest.mark.slow
def test_the_interval_holds_the_true_median_about_as_often_as_stated() -> None:
    rng, inside = np.random.default_rng(2), 0
    for seed in range(300):
        found = leads.summarise(rng.exponential(size=21).tolist(), seed, 0.9, 400)
        inside += found.low <= np.log(2) <= found.high
    assert 252 <= inside <= 294
