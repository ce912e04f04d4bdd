"""Detectors against cases whose answer is known, and against simulated runs whose rate is known."""

import math
from dataclasses import replace
from importlib.metadata import version

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import RecordError, WatchError
from darklantern.records.exact import decode, encode
from darklantern.records.references import Origin, References, SignalReference, Stratum
from darklantern.watch import Signal, calibrate
from darklantern.watch.judging import detectors, rates

FLAT = SignalReference(name="s", mean=(0.0,), spread=(1.0,))
SIGNALS = (Signal("inner", "I0", "signal", "", ""), Signal("outer", "I0", "behaviour", "", ""))


def test_the_statistic_of_a_step_is_the_closed_form() -> None:
    """Contrast 0 up to look 9, then 2: change 2 until the baseline follows, EWMA 2(1 − 2^−n)."""
    values = detectors.statistics(FLAT, [0.0] * 10 + [2.0] * 3)
    assert values[:10] == [0.0] * 10
    assert values[10:] == pytest.approx([1.0, 1.5, 1.75])


def test_a_level_that_differs_from_the_start_is_no_change() -> None:
    assert detectors.statistics(FLAT, [7.0] * 20) == [0.0] * 20


def test_what_rises_and_stays_stands_where_it_is_anchored_and_is_its_own_baseline_where_not() -> None:
    """Contrast 1 for three looks, then 3 for good: change 2 for good, EWMA 2(1 − 2^−n)."""
    rise = [1.0] * 3 + [3.0] * 40
    anchored = detectors.statistics(msgspec.structs.replace(FLAT, detector="anchored"), rise)
    assert anchored[:3] == [0.0] * 3
    assert anchored[3:] == pytest.approx([2 * (1 - 0.5**n) for n in range(1, 41)])
    recent = detectors.statistics(FLAT, rise)
    assert recent[3:6] == anchored[3:6]
    assert recent[-1] < 0.01 < 1.99 < anchored[-1]


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.lists(st.floats(-100, 100), max_size=12))
def test_an_anchored_change_is_against_the_first_looks_of_those_that_count_as_earlier(
    first: list[float], rest: list[float]
) -> None:
    contrasts = first + rest
    count = min(detectors.ANCHOR, max(1, len(contrasts) - 1 - detectors.LEFT_OUT))
    wanted = contrasts[-1] - sum(contrasts[:count]) / count
    assert detectors.change(contrasts, "anchored") == pytest.approx(wanted, abs=1e-9)


def test_a_wild_look_counts_by_its_logarithm_and_more_than_a_less_wild_one() -> None:
    """Within the bound in full; a look of BOUND × eⁿ standard deviations counts BOUND × (n + 1)."""
    for n in (0, 1, 12):
        wild = [0.0] * 10 + [detectors.BOUND * math.exp(n)] + [0.0] * 3
        counted = detectors.BOUND * (n + 1)
        assert max(detectors.statistics(FLAT, wild)) == pytest.approx(counted * detectors.SMOOTHING)
        cusum = msgspec.structs.replace(FLAT, detector="cusum")
        assert max(detectors.statistics(cusum, wild)) == pytest.approx(counted - detectors.SLACK)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_what_changed_more_stands_no_lower(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert detectors.standardise(FLAT, 3, low) <= detectors.standardise(FLAT, 3, high)
    assert detectors.standardise(FLAT, 3, -low) == -detectors.standardise(FLAT, 3, low)


CONTRASTS = st.lists(st.floats(-50, 50), min_size=1, max_size=40)


@given(CONTRASTS, st.floats(1, 20))
def test_the_cusum_is_the_loop_of_the_textbook(contrasts: list[float], top: float) -> None:
    reference = SignalReference(name="s", mean=(0.0, 0.3), spread=(2.0,), detector="cusum", top=top)
    height, expected = 0.0, []
    for t, contrast in enumerate(contrasts):
        earlier = contrasts[: t - 2] if t > 2 else contrasts[:1]
        earlier = earlier[len(earlier) // 2 :]
        z = (contrast - sum(earlier) / len(earlier) - (0.3 if t else 0.0)) / 2.0
        height += (z if abs(z) <= 4 else math.copysign(4 + 4 * math.log(abs(z) / 4), z)) - 0.5
        if height < 0:
            height = 0.0
        expected.append(height / top)
    assert detectors.statistics(reference, contrasts) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(CONTRASTS, st.sampled_from(["ewma", "cusum", "anchored"]), st.floats(1, 20))
def test_a_scale_divides_the_whole_curve(contrasts: list[float], detector: str, top: float) -> None:
    bare = SignalReference(name="s", mean=(0.0,), spread=(1.0,), detector=detector)
    scaled = detectors.statistics(msgspec.structs.replace(bare, top=top), contrasts)
    expected = [value / top for value in detectors.statistics(bare, contrasts)]
    assert scaled == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("detector", ["ewma", "cusum", "anchored"])
def test_the_scale_is_what_about_one_clean_run_in_twenty_reaches(detector: str) -> None:
    rng = np.random.default_rng(2)
    runs = [run["inner"] for run in clean_runs(range(100), rng).values()]
    reference = detectors.summarise("s", 0.0, runs, detector)
    heights = [max(detectors.statistics(msgspec.structs.replace(reference, top=1.0), run)) for run in runs]
    expected = np.mean(heights) + detectors.TAIL * np.std(heights, ddof=1)
    assert (reference.detector, reference.top) == (detector, pytest.approx(expected))
    above = sum(max(detectors.statistics(reference, run["inner"])) > 1 for run in clean_runs(range(200), rng).values())
    assert 2 <= above <= 22


def test_the_constant_of_the_tail_is_gumbels() -> None:
    """Quantile at .95 less mean, in standard deviations."""
    euler = -float(np.euler_gamma)
    assert pytest.approx((-math.log(-math.log(0.95)) + euler) / (math.pi / math.sqrt(6)), abs=5e-4) == detectors.TAIL


def test_a_signal_that_hardly_moves_is_not_blown_up_to_the_scale_of_others() -> None:
    """The grain is a hundred times what these runs do: their highest is far below one standard deviation."""
    reference = detectors.summarise("s", 100.0, [[0.0, 1.0, 0.0, 2.0], [0.0, -1.0, 0.5, 0.0]])
    assert (set(reference.spread), reference.top) == ({100.0}, 1.0)


@pytest.mark.parametrize(
    ("signal", "level", "least"),
    [
        (SIGNALS[0], 0.5, 0.5 * detectors.ROUNDING),
        (SIGNALS[0], -300.0, 300 * detectors.ROUNDING),
        (replace(SIGNALS[0], compares="ratio"), 0.0, detectors.ROUNDING),
        (replace(SIGNALS[0], grain=1e-9), 0.5, 1e-9),
    ],
    ids=["small", "large", "a ratio's logarithm", "a grain that is stated"],
)
def test_a_signal_that_was_flat_in_clean_runs_is_as_steady_as_its_grain_or_its_rounding(signal, level, least) -> None:
    flat = {seed: {"inner": [level] * 12} for seed in range(30)}
    made = calibrate(flat, [signal], range(10), "0" * 64, "0" * 64)
    assert made.signals[0].spread == pytest.approx((least,) * 12)


def test_what_never_read_anything_but_nothing_asks_for_a_grain() -> None:
    with pytest.raises(WatchError, match="never changed in 10 clean runs"):
        calibrate({seed: {"inner": [0.0] * 12} for seed in range(30)}, SIGNALS[:1], range(10), "0" * 64, "0" * 64)


def creeping(signals: tuple[Signal, ...]) -> list[Signal]:
    """The signal `inner` is gathered by a CUSUM."""
    return [replace(signal, detector="cusum") if signal.name == "inner" else signal for signal in signals]


BOTH = tuple(Signal(name, "I0", "signal", "", "") for name in ("inner", "outer"))


@pytest.mark.slow
def test_scales_let_a_cusum_and_an_ewma_share_the_error_budget() -> None:
    """Without them the CUSUM, whose curve is four times as high, makes every joint maximum that comes near an alarm.

    Of fresh clean runs, those whose joint maximum is among the highest 10 %: which signal made it?
    """
    rng = np.random.default_rng(21)
    bare, scaled = [], []
    fresh = list(clean_runs(range(300), rng).values())
    for _ in range(4):
        made = calibrate(clean_runs(range(59), rng), creeping(BOTH), range(40), "0" * 64, "0" * 64)
        for found, held in (
            (scaled, made.signals),
            (bare, [msgspec.structs.replace(reference, top=1.0) for reference in made.signals]),
        ):
            tops = np.array([[max(detectors.statistics(r, run[r.name])) for r in held] for run in fresh])
            high = tops[np.argsort(tops.max(axis=1))[-30:]]
            found.append(float((high[:, 0] > high[:, 1]).mean()))
    assert min(bare) == 1.0
    assert 0.3 <= np.mean(scaled) <= 0.85


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
        references = calibrate(runs, SIGNALS[:1], range(25), "0" * 64, "0" * 64)
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
        steps=(10, 20),
        recipe=recipe,
        data=data,
        signals=(FLAT,),
        standardised_on=(1,),
        calibrated_on=tuple(range(19)),
        maxima=tuple(float(i) for i in range(19)),
        behaviours={},
        versions={},
    )


def strata(*held: tuple[str, float]) -> tuple[Stratum, ...]:
    """Harmless arms of 39 runs whose maxima are 1 to 39 times a number."""
    return tuple(
        Stratum(
            name=name,
            calibrated_on=tuple(range(100, 139)),
            maxima=tuple(by * i for i in range(1, 40)),
            behaviours={"outer": tuple(2 * by * i for i in range(1, 40))},
        )
        for name, by in held
    )


def test_the_threshold_is_the_largest_of_the_arms_so_that_the_rate_holds_in_each() -> None:
    arms = strata(("benign boilerplate", 0.6), ("inert trigger", 0.1))
    held = msgspec.structs.replace(references(), strata=arms, behaviours={"outer": (1.0,) * 19})
    found = detectors.limits(held, "1" * 64, "2" * 64, 0.05)
    assert found["joint"].value == 0.6 * 38  # 39 runs: the second highest, as floor(.05 · 40) = 2; clean: 18
    assert found["outer"].value == 2 * 0.6 * 38
    assert found["joint"].alpha == 0.05
    assert "39 benign boilerplate reference runs" in found["joint"].reason
    assert "benign boilerplate comes highest" in found["joint"].reason
    for maxima in (held.maxima, *(arm.maxima for arm in arms)):
        above = sum(value > found["joint"].value for value in maxima)
        assert (above + 1) / (len(maxima) + 1) <= 0.05
    quiet = msgspec.structs.replace(held, strata=strata(("inert trigger", 0.1)))
    assert detectors.limits(quiet, "1" * 64, "2" * 64, 0.05)["joint"].value == 18.0


def test_an_arm_with_too_few_runs_or_without_a_monitor_is_refused_by_name() -> None:
    (arm,) = strata(("inert trigger", 0.1))
    few = msgspec.structs.replace(arm, maxima=(1.0,) * 18)
    with pytest.raises(WatchError, match="needs at least 19 reference runs, got 18 of inert trigger"):
        detectors.limits(msgspec.structs.replace(references(), strata=(few,)), "1" * 64, "2" * 64, 0.05)
    deaf = msgspec.structs.replace(arm, behaviours={})
    held = msgspec.structs.replace(references(), strata=(deaf,), behaviours={"outer": (1.0,) * 19})
    with pytest.raises(WatchError, match="no maxima of 'outer' in runs of inert trigger"):
        detectors.limits(held, "1" * 64, "2" * 64, 0.05)


def test_another_cadence_drops_the_claim_where_both_are_known() -> None:
    held = msgspec.structs.replace(references(), every=10)
    assert detectors.limits(held, "1" * 64, "2" * 64, 0.05, every=10)["joint"].calibrated
    assert detectors.limits(held, "1" * 64, "2" * 64, 0.05)["joint"].calibrated
    assert detectors.limits(references(), "1" * 64, "2" * 64, 0.05, every=20)["joint"].calibrated
    other = detectors.limits(held, "1" * 64, "2" * 64, 0.05, every=20)["joint"]
    assert not other.calibrated
    assert "looked at every 10 steps, this one every 20" in other.reason
    unsaid = msgspec.structs.replace(references(), steps=())
    assert "do not say at which steps" in detectors.limits(unsaid, "1" * 64, "2" * 64, 0.05)["joint"].reason


def test_a_calibration_with_arms_comes_back_from_its_bytes_with_all_it_was_made_from() -> None:
    rng = np.random.default_rng(6)
    made = calibrate(
        clean_runs(range(30), rng),
        creeping(SIGNALS),
        range(5),
        "1" * 64,
        "2" * 64,
        others={"benign boilerplate": clean_runs(range(50, 70), rng)},
        every=10,
        origin=Origin(code="1.0", machine="two cores", made="by hand"),
    )
    assert decode(References, encode(made)) == made
    assert [(s.name, s.detector) for s in made.signals] == [("inner", "cusum"), ("outer", "ewma")]
    assert (made.every, made.origin.machine, made.standardised_on) == (10, "two cores", (0, 1, 2, 3, 4))
    (arm,) = made.strata
    assert (made.calibrated_on, arm.calibrated_on) == (tuple(range(5, 30)), tuple(range(50, 70)))
    assert (len(made.maxima), len(arm.maxima), len(arm.behaviours["outer"])) == (25, 20, 20)
    again = calibrate(clean_runs(range(30), np.random.default_rng(6)), SIGNALS, range(5), "1" * 64, "2" * 64)
    assert again.behaviours == made.behaviours, "other arms have no part in the standardising"


def test_what_would_break_the_exchange_of_runs_is_refused() -> None:
    rng = np.random.default_rng(0)
    runs, few, shared = clean_runs(range(30), rng), clean_runs(range(40, 50), rng), clean_runs(range(4, 30), rng)
    for others, message in (
        ({"inert trigger": few}, "got 5 and 10 of inert trigger"),
        ({"inert trigger": shared}, "1 seeds of inert trigger, 4 for one, are also standardised on"),
        ({"clean": clean_runs(range(40, 70), rng)}, "an arm is called 'clean'"),
    ):
        with pytest.raises(WatchError, match=message):
            calibrate(runs, SIGNALS, range(5), "0" * 64, "0" * 64, others=others)


def test_references_of_another_version_are_refused() -> None:
    data = encode(references())
    assert data.startswith(b'{"v":3,')
    for other in (data.replace(b'"v":3,', b'"v":2,'), data.replace(b'"v":3,', b"")):
        with pytest.raises(RecordError):
            decode(References, other)


@given(
    st.floats(1e-4, 0.9),
    st.dictionaries(st.sampled_from("abcdefgh"), st.floats(1e-3, 1e3), min_size=1),
)
def test_the_parts_of_a_budget_never_come_to_more_than_it(alpha: float, shares: dict[str, float]) -> None:
    parts = detectors.split(alpha, shares)
    assert math.fsum(parts.values()) <= alpha
    assert math.fsum(parts.values()) == pytest.approx(alpha, rel=1e-12)
    for name, part in parts.items():
        assert part == pytest.approx(alpha * shares[name] / sum(shares.values()), rel=1e-9)


@pytest.mark.parametrize("shares", [{}, {"a": 0.0}, {"a": 1.0, "b": -1.0}, {"a": math.inf}, {"a": math.nan}])
def test_a_budget_has_a_share_for_each_detector(shares: dict[str, float]) -> None:
    with pytest.raises(WatchError, match="share above 0"):
        detectors.split(0.05, shares)


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["ewma", "cusum", "anchored"])
def test_false_alarms_in_further_runs_fall_as_the_beta_binomial_says(detector: str) -> None:
    """AR(.8) and a trend, 59 references, 40 further runs, 40 times: outside of the 90 % interval as seldom as said."""
    rng, inside, false = np.random.default_rng(31), 0, 0
    low, high = rates.predicted(59, 3, 40, 0.9)
    for _ in range(40):
        made = calibrate(
            clean_runs(range(79), rng), [replace(SIGNALS[0], detector=detector)], range(20), "0" * 64, "0" * 64
        )
        limit = detectors.threshold(made.maxima, 0.05)
        further = clean_runs(range(40), rng).values()
        count = sum(max(detectors.statistics(made.signals[0], run["inner"])) > limit.value for run in further)
        inside += low <= count <= high
        false += count
    assert rates.clopper_pearson(inside, 40, 0.998)[1] >= 0.9
    assert 25 <= false <= 160  # 80 expected of 1600: the rate is neither lost nor wasted


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
