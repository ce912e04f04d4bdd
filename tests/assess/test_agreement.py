"""Alpha as the package computes it, and intervals that say when there is too little to tell."""

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from darklantern.assess.tracking import agreement, alpha, ranks
from darklantern.assess.tracking.showing import by_criterion
from darklantern.errors import AssessmentError

ANSWERS = st.lists(
    st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=3, max_size=3), min_size=2, max_size=12
).map(lambda rows: np.array([[np.nan if x is None else x for x in row] for row in rows], dtype=float).T)


@settings(max_examples=300)
@given(ANSWERS, st.sampled_from(["nominal", "ordinal"]))
def test_alpha_is_krippendorffs(answers: np.ndarray, scale: str) -> None:
    found = alpha(answers, scale)  # type: ignore[arg-type]
    try:
        with np.errstate(all="ignore"):
            expected = krippendorff.alpha(
                reliability_data=answers, level_of_measurement=scale, value_domain=[0.0, 1.0, 2.0, 3.0]
            )
    except (ValueError, AssertionError):
        expected = float("nan")
    pairable = (~np.isnan(answers)).sum(0) >= 2
    used = answers[:, pairable]
    if len(np.unique(used[~np.isnan(used)])) < 2:
        assert found is None
    else:
        assert found == pytest.approx(expected, abs=1e-9)


def test_known_alphas() -> None:
    same = np.array([[0, 1, 2, 0], [0, 1, 2, 0]])
    assert alpha(same) == 1.0
    opposed = np.array([[0, 2, 0, 2], [2, 0, 2, 0]])
    assert alpha(opposed, "nominal") == pytest.approx(-0.75)
    # Krippendorff's own example of 4 observers and 12 units: nominal .743, ordinal .815.
    n = np.nan
    data = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, n, n, n],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, n, 3],
            [n, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, n],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, n],
        ]
    )
    assert alpha(data, "nominal") == pytest.approx(0.743, abs=0.001)
    assert alpha(data, "ordinal") == pytest.approx(0.815, abs=0.001)


def test_nominal_alpha_comes_to_fleiss_kappa_with_many_items() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=5000)
    said = np.where(rng.random((3, 5000)) < 0.3, rng.integers(3, size=(3, 5000)), truth)
    kappa = fleiss_kappa(aggregate_raters(said.T)[0])
    assert alpha(said, "nominal") == pytest.approx(kappa, abs=1e-3)


def test_answers_without_variation_have_no_alpha_and_say_so() -> None:
    found = agreement(np.ones((3, 6)))
    assert found.alpha is None and "no alpha" in found.says
    alone = agreement(np.array([[1, np.nan], [np.nan, 2]]))
    assert alone.alpha is None and alone.items == 0


def test_few_items_are_too_little_to_tell_and_many_are_not() -> None:
    rng = np.random.default_rng(1)

    def made(items: int) -> np.ndarray:
        truth = rng.integers(3, size=items)
        moved = (rng.random((3, items)) < 0.35) * np.where(rng.random((3, items)) < 0.5, 1, -1)
        return np.clip(truth + moved, 0, 2)

    few, some, many = agreement(made(5)), agreement(made(12)), agreement(made(400))
    assert "too few items to tell, it takes 10" in few.says and "too little to tell" in some.says
    two = agreement(np.array([[0, 2], [0, 2]]))
    assert two.alpha == 1.0 and "too few items" in two.says
    assert many.low is not None and many.high is not None and many.high - many.low < 0.15
    assert many.says.endswith(("moderate", "substantial"))


def test_the_interval_is_the_same_from_the_same_seed() -> None:
    said = np.random.default_rng(2).integers(3, size=(3, 20))
    assert agreement(said, seed=5) == agreement(said, seed=5) != agreement(said, seed=6)


def test_sets_of_values_count_by_the_most_closed_of_them() -> None:
    scale = ("none", "contained", "creates")
    found = ranks([[("none",), ("none", "creates")], [None, ()]], scale)
    np.testing.assert_array_equal(found, [[0, 2], [np.nan, np.nan]])


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [[0.5, 1.0]], [[-1.0, 0.0]]])
def test_what_is_no_matrix_of_ranks_is_refused(wrong: list[object]) -> None:
    with pytest.raises(AssessmentError, match="ranks"):
        agreement(wrong)


def test_agreement_is_drawn_by_criterion_and_says_which_has_none(tmp_path) -> None:
    rng = np.random.default_rng(0)
    found = {"A": agreement(rng.integers(3, size=(3, 20))), "O": agreement(np.ones((3, 20)))}
    picture = by_criterion(found, {"A": "uplift asymmetry", "O": "tool or insight"})
    picture.png(tmp_path / "agreement.png")
    assert "None for O." in str(picture.svg) and "A uplift asymmetry (20)" in str(picture.svg)
    assert picture.says.startswith("A: alpha")
