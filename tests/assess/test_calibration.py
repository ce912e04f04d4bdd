"""Scores of forecasts: by definition, by scikit-learn, and intervals that hold what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from darklantern.assess.tracking import brier, calibration, murphy, pooled, rater_weights, shrunk
from darklantern.errors import AssessmentError

FORECASTS = st.lists(st.tuples(st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.9]), st.booleans()), min_size=2, max_size=60)


@given(FORECASTS)
def test_the_score_is_scikit_learns_and_its_parts_add_up(rows: list[tuple[float, bool]]) -> None:
    stated, happened = (np.array(each, dtype=float) for each in zip(*rows, strict=True))
    score = brier(stated, happened)
    if 0 < happened.sum() < len(happened):
        assert score == pytest.approx(brier_score_loss(happened, stated))
    parts = murphy(stated, happened)
    assert parts.brier == pytest.approx(score)
    assert parts.reliability >= 0 and 0 <= parts.resolution <= parts.uncertainty + 1e-12


def test_a_sure_forecaster_and_the_base_rate_itself() -> None:
    happened = np.array([0, 0, 0, 1] * 50, dtype=float)
    sure = calibration(np.where(happened == 1, 0.99, 0.01), happened, 0.15)
    assert sure.skill > 0.99 and sure.says.endswith("better than the base rate")
    same = calibration(np.full(200, 0.15), happened, 0.15)
    assert same.skill == 0 and same.gain[0] == 0 and same.needed is None and "too few to tell" in same.says
    wrong = calibration(np.where(happened == 1, 0.01, 0.9), happened, 0.15)
    assert wrong.skill < 0 and wrong.says.endswith("worse than the base rate")


def test_few_resolved_forecasts_tell_how_many_it_would_take() -> None:
    rng = np.random.default_rng(0)
    stated = rng.beta(0.6, 3.4, 30)
    happened = (rng.random(30) < stated).astype(float)
    found = calibration(stated, happened, 0.15)
    assert "too few to tell" in found.says or "better" in found.says
    assert found.needed is not None and found.needed > 30


def test_outcomes_that_are_all_alike_tell_nothing() -> None:
    """Whoever states less than the base rate gains each time it does not happen, by nothing but its being rare."""
    for count in (2, 10, 40):
        lucky = calibration([0.05] * count, [0] * count, 0.15)
        assert lucky.gain[1] > 0 and "too few to tell" in lucky.says


def test_the_interval_of_a_gain_covers_it_about_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(1), 0
    truth = 0.15 * 0.85 / 5  # the variance of the stated probabilities, all of it skill
    for _ in range(400):
        stated = rng.beta(0.6, 3.4, 200)
        happened = (rng.random(200) < stated).astype(float)
        _, low, high = calibration(stated, happened, 0.15).gain
        held += low <= truth <= high
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize(
    ("stated", "happened"), [([1.5], [1]), ([0.5], [0.5]), ([0.5, 0.5], [1]), ([], []), ([float("nan")], [1])]
)
def test_what_is_no_forecast_is_refused(stated: list[float], happened: list[float]) -> None:
    with pytest.raises(AssessmentError):
        brier(stated, happened)


def test_a_base_rate_is_between_never_and_always() -> None:
    for base in (0.0, 1.0):
        with pytest.raises(AssessmentError, match="base rate"):
            calibration([0.5, 0.5], [0, 1], base)


# Pooling


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=6))
def test_a_pool_lies_between_its_raters_and_is_the_same_for_yes_and_no(probabilities: list[float]) -> None:
    found = pooled(probabilities)
    assert min(probabilities) - 1e-12 <= found <= max(probabilities) + 1e-12
    assert pooled([1 - each for each in probabilities]) == pytest.approx(1 - found)


def test_raters_who_differ_by_chance_alone_are_drawn_together_and_others_are_not() -> None:
    rng = np.random.default_rng(2)
    alike = shrunk({f"rater {i}": rng.normal(0.2, 0.1, 20).tolist() for i in range(30)})
    assert np.mean([each.weight for each in alike.values()]) < 0.3
    apart = shrunk({f"rater {i}": rng.normal(0.02 * i, 0.05, 200).tolist() for i in range(30)})
    assert min(each.weight for each in apart.values()) > 0.95
    for each in (*alike.values(), *apart.values()):
        assert min(each.own, each.pooled) - 1e-9 <= each.value <= max(each.own, each.pooled) + 1e-9


def test_shrinking_comes_nearer_to_the_truth_than_each_ones_own_mean() -> None:
    rng, own, drawn = np.random.default_rng(3), 0.0, 0.0
    for _ in range(100):
        truths = rng.normal(0.2, 0.02, 12)
        found = shrunk({str(i): rng.normal(truth, 0.15, 15).tolist() for i, truth in enumerate(truths)})
        own += sum((each.own - truth) ** 2 for each, truth in zip(found.values(), truths, strict=True))
        drawn += sum((each.value - truth) ** 2 for each, truth in zip(found.values(), truths, strict=True))
    assert drawn < 0.6 * own


def test_nobody_is_weighted_below_a_hundred_resolved_forecasts() -> None:
    assert rater_weights({"a": 99, "b": 500}, {"a": 0.0, "b": 0.5}) == {"a": 0.5, "b": 0.5}
    assert rater_weights({"a": 100, "b": 500}, {"a": 0.1, "b": 0.3}) == pytest.approx({"a": 0.25, "b": 0.75})
    assert rater_weights({"a": 200, "b": 500}, {"a": -0.1, "b": 0.0}) == {"a": 0.5, "b": 0.5}


def test_nothing_to_pool_is_refused() -> None:
    for wrong in ([], [0.0], [1.0], [0.5, 2.0]):
        with pytest.raises(AssessmentError):
            pooled(wrong)
    with pytest.raises(AssessmentError, match="two resolved"):
        shrunk({"a": [0.1]})
    with pytest.raises(AssessmentError):
        rater_weights({}, {})
