"""Detectors against cases whose answer is known, and against simulated runs whose rate is known."""

from importlib.metadata import version

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import WatchError
from darklantern.records.references import References, SignalReference
from darklantern.watch import Signal, calibrate, detectors

FLAT = SignalReference(name="s", mean=(0.0,), spread=1.0)
SIGNALS = (Signal("inner", "I0", "signal", "", ""), Signal("outer", "I0", "behaviour", "", ""))


def test_the_statistic_of_a_step_is_the_closed_form() -> None:
    """Contrast 0 up to look 9, then 2: change 2 until the baseline follows, EWMA 2(1 − 2^−n)."""
    values = detectors.statistics(FLAT, [0.0] * 10 + [2.0] * 3)
    assert values[:10] == [0.0] * 10
    assert values[10:] == pytest.approx([1.0, 1.5, 1.75])


def test_a_level_that_differs_from_the_start_is_no_change() -> None:
    assert detectors.statistics(FLAT, [7.0] * 20) == [0.0] * 20


def test_one_wild_look_counts_at_most_its_bound() -> None:
    values = detectors.statistics(FLAT, [0.0] * 10 + [1e6] + [0.0] * 3)
    assert max(values) == detectors.BOUND * detectors.SMOOTHING


@given(st.integers(19, 200), st.floats(0.02, 0.5), st.integers(0, 2**32 - 1))
def test_the_threshold_is_the_order_statistic_that_the_rate_allows(runs: int, alpha: float, seed: int) -> None:
    maxima = np.random.default_rng(seed).normal(size=runs)
    if alpha < 1 / (runs + 1):
        with pytest.raises(WatchError, match="needs at least"):
            detectors.threshold(maxima, alpha)
        return
    limit = detectors.threshold(maxima, alpha)
    above = int((maxima > limit.value).sum())
    assert (above + 1) / (runs + 1) == pytest.approx(limit.alpha)
    assert limit.alpha <= alpha < (above + 2) / (runs + 1)


def clean_runs(seeds: range, rng: np.random.Generator) -> dict[int, dict[str, list[float]]]:
    """Autocorrelated, trending signals with a level of their own in each run: what defeats classical detectors."""
    runs = {}
    for seed in seeds:
        noise = np.zeros((2, 40))
        for t in range(1, 40):
            noise[:, t] = 0.8 * noise[:, t - 1] + rng.normal(size=2)
        trend = np.linspace(0, 3, 40) + rng.normal()
        runs[seed] = {"inner": list(noise[0] + trend), "outer": list(noise[1] + trend)}
    return runs


@pytest.mark.slow
def test_clean_runs_alarm_no_more_often_than_stated() -> None:
    """200 calibrations, 5 fresh clean runs each, α = .05: the count stays within a 99.9 % binomial bound."""
    rng = np.random.default_rng(11)
    false = 0
    for _ in range(200):
        runs = clean_runs(range(44), rng)
        references = calibrate(runs, SIGNALS, range(25), "0" * 64, "0" * 64)
        limit = detectors.threshold(references.maxima, 0.05)
        fresh = clean_runs(range(5), rng)
        false += sum(
            max(detectors.statistics(references.signals[0], run["inner"])) > limit.value for run in fresh.values()
        )
    assert false <= 75  # 50 expected; runs of one calibration share its threshold, hence the slack
    assert false >= 20  # and it is no threshold that nothing could cross


def test_a_rise_is_found_soon_and_in_most_runs() -> None:
    rng = np.random.default_rng(12)
    references = calibrate(clean_runs(range(80), rng), SIGNALS, range(40), "0" * 64, "0" * 64)
    limit = detectors.threshold(references.maxima, 0.05)
    delays = []
    for run in clean_runs(range(50), rng).values():
        risen = np.array(run["inner"]) + 8.0 * (np.arange(40) >= 20)
        values = detectors.statistics(references.signals[0], list(risen))
        delays += [t - 20 for t, value in enumerate(values) if value > limit.value and t >= 20][:1]
    assert len(delays) >= 48
    assert np.median(delays) <= 3


def references(recipe: str = "1" * 64, data: str = "2" * 64) -> References:
    return References(
        recipe=recipe,
        data=data,
        signals=(FLAT,),
        standardised_on=(1,),
        calibrated_on=tuple(range(19)),
        maxima=tuple(float(i) for i in range(19)),
        behaviours={},
        versions={},
    )


def test_another_recipe_or_text_keeps_the_number_and_drops_the_claim() -> None:
    held = detectors.limits(references(), "1" * 64, "2" * 64, 0.05)["joint"]
    assert (held.value, held.calibrated, held.alpha) == (18.0, True, 0.05)
    for recipe, data, why in (("9" * 64, "2" * 64, "another recipe"), ("1" * 64, "9" * 64, "another text")):
        limit = detectors.limits(references(), recipe, data, 0.05)["joint"]
        assert limit.value == 18.0
        assert not limit.calibrated
        assert np.isnan(limit.alpha)
        assert why in limit.reason


def test_too_few_reference_runs_are_refused_with_the_number_that_is_enough() -> None:
    with pytest.raises(WatchError, match="needs at least 39 reference runs, got 19"):
        detectors.threshold([0.0] * 19, 0.025)
    with pytest.raises(WatchError, match="at least 5 runs to standardise on and 19"):
        calibrate(clean_runs(range(10), np.random.default_rng(0)), SIGNALS, range(5), "0" * 64, "0" * 64)


def test_reference_runs_of_different_length_are_refused() -> None:
    runs = clean_runs(range(30), np.random.default_rng(0))
    runs[3]["inner"].pop()
    with pytest.raises(WatchError, match="looks"):
        calibrate(runs, SIGNALS, range(8), "0" * 64, "0" * 64)


def test_where_a_rise_began() -> None:
    assert detectors.rise_began([0.1, 0.5, 0.2, 1.5, 3.0], quiet=1.0) == 2
    assert detectors.rise_began([2.0, 3.0], quiet=1.0) == -1


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_references_say_which_version_of_their_framework_they_were_made_with(framework: str) -> None:
    runs = clean_runs(range(30), np.random.default_rng(0))
    references = calibrate(runs, SIGNALS, range(5), "0" * 64, "0" * 64, framework)
    assert set(references.versions) == {"python", "numpy", framework}
    assert references.versions[framework] == version(framework)
