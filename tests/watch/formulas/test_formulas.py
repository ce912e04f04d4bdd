"""The formulas that signals share, against cases known by hand and against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from darklantern.errors import WatchError
from darklantern.watch import formulas

RNG = np.random.default_rng


def scores(least: int = 1):
    return st.lists(st.integers(-3, 3), min_size=least, max_size=12).map(lambda each: np.array(each, dtype=float))


@given(scores(), scores())
def test_auroc_is_the_share_of_pairs_in_order_with_ties_as_half(high: np.ndarray, low: np.ndarray) -> None:
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in high for b in low]
    assert formulas.auroc(high, low) == pytest.approx(np.mean(pairs))


@given(scores(), scores())
def test_auroc_of_swapped_groups_is_its_complement(high: np.ndarray, low: np.ndarray) -> None:
    assert formulas.auroc(high, low) + formulas.auroc(low, high) == pytest.approx(1)


def test_d_prime_is_the_difference_of_means_in_standard_deviations() -> None:
    assert formulas.d_prime([4.0, 6.0], [1.0, 3.0]) == pytest.approx(3 / np.sqrt(2))
    rng = RNG(0)
    assert formulas.d_prime(rng.normal(2, 1, 40_000), rng.normal(0, 1, 40_000)) == pytest.approx(2, abs=0.03)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(3, 9), st.integers(1, 12))
def test_shrinkage_is_the_one_of_ledoit_and_wolf_reckoned_row_by_row(seed: int, n: int, d: int) -> None:
    rows = RNG(seed).normal(size=(n, d)) @ np.diag(np.arange(1, d + 1.0))
    rows -= rows.mean(0)
    sample, identity = rows.T @ rows / n, np.eye(d)
    scale = np.trace(sample) / d
    spread = ((sample - scale * identity) ** 2).sum()
    error = sum(((np.outer(row, row) - sample) ** 2).sum() for row in rows) / n**2
    share = min(1, error / spread) if spread > 1e-9 else 1
    expected = (1 - share) * sample + share * scale * identity
    made = formulas.shrunk_covariance(rows)
    assert np.allclose(made.array, expected, rtol=1e-6, atol=1e-6 * scale)
    others = RNG(seed + 1).normal(size=(3, d))
    assert np.allclose(made.array @ made.solve(others).T, others.T, rtol=1e-4, atol=1e-4)


def test_distances_are_those_of_the_inverse_covariance() -> None:
    rng = RNG(1)
    trusted = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4))
    fitted = formulas.cloud(trusted)
    others = rng.normal(size=(7, 4)) * 5
    inverse = np.linalg.inv(fitted.covariance.array)
    expected = [(row - trusted.mean(0)) @ inverse @ (row - trusted.mean(0)) for row in others]
    assert np.allclose(fitted.distances(others), expected)


def test_an_example_of_the_cloud_expects_as_much_as_it_has_features() -> None:
    rng = RNG(2)
    fitted = formulas.cloud(rng.normal(3, 2, (5000, 6)))
    assert fitted.distances(rng.normal(3, 2, (5000, 6))).mean() == pytest.approx(6, rel=0.05)


def test_distances_do_not_change_under_linear_maps_without_shrinkage() -> None:
    rng = RNG(3)
    trusted, others, turned = rng.normal(size=(60, 3)), rng.normal(size=(5, 3)), rng.normal(size=(3, 3))
    plain = formulas.cloud(trusted, shrinkage=0.0).distances(others)
    assert np.allclose(formulas.cloud(trusted @ turned, shrinkage=0.0).distances(others @ turned), plain, rtol=1e-4)


def test_classes_have_means_of_their_own_and_the_nearest_counts_without_a_label() -> None:
    rng = RNG(4)
    labels = np.repeat(["cat", "dog"], 40)
    trusted = rng.normal(size=(80, 3)) + np.where(labels == "dog", 50.0, 0.0)[:, None]
    fitted = formulas.cloud(trusted, labels)
    strays = np.array([[0.0, 0.0, 0.0], [50.0, 50.0, 50.0]])
    assert (fitted.distances(strays) < 5).all()
    assert (fitted.distances(strays, ["cat", "dog"]) < 5).all()
    assert (fitted.distances(strays, ["dog", "cat"]) > 1000).all()
    with pytest.raises(WatchError, match="no class"):
        fitted.distances(strays, ["cat", "bird"])
    with pytest.raises(WatchError, match="at least 2 trusted examples of each class"):
        formulas.cloud(trusted[:41], labels[:41])


def test_more_features_than_examples_still_have_a_distance() -> None:
    rng = RNG(5)
    fitted = formulas.cloud(rng.normal(size=(10, 40)))
    assert np.isfinite(fitted.distances(rng.normal(size=(3, 40)))).all()


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(3, 15), st.integers(1, 15))
def test_cka_is_one_up_to_rotation_scale_and_shift_and_the_same_by_either_form(seed: int, n: int, d: int) -> None:
    rng = RNG(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, 4))
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert formulas.linear_cka(x, 3 * x @ rotation + 7) == pytest.approx(1)
    a, b = x - x.mean(0), y - y.mean(0)
    by_features = ((b.T @ a) ** 2).sum() / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert formulas.linear_cka(x, y) == pytest.approx(by_features)


def test_gram_matrices_are_all_that_cka_needs() -> None:
    rng = RNG(8)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 50))
    assert formulas.gram_cka(formulas.gram(x), formulas.gram(y)) == pytest.approx(formulas.linear_cka(x, y))


def test_cka_of_unrelated_features_is_near_zero() -> None:
    rng = RNG(6)
    assert formulas.linear_cka(rng.normal(size=(4000, 3)), rng.normal(size=(4000, 3))) < 0.01


def test_the_participation_ratio_counts_equal_directions() -> None:
    assert formulas.participation_ratio([2.0, 2.0, 2.0, 0.0]) == pytest.approx(3)
    assert formulas.participation_ratio([5.0, 0.0]) == pytest.approx(1)


def test_a_flat_spectrum_has_no_heat_capacity_and_two_levels_have_that_of_schottky() -> None:
    assert formulas.spectral_heat_capacity([3.0, 3.0, 3.0]) == pytest.approx(0)
    p, gap = 0.2, np.log(4)  # levels −log .2 and −log .8
    assert formulas.spectral_heat_capacity([1.0, 4.0]) == pytest.approx(p * (1 - p) * gap**2)


@settings(max_examples=30)
@given(arrays(np.float64, st.tuples(st.integers(2, 6), st.integers(1, 8)), elements=st.floats(-10, 10)))
def test_the_spectrum_is_that_of_the_covariance(window: np.ndarray) -> None:
    expected = np.linalg.eigvalsh(np.atleast_2d(np.cov(window.T)))[::-1][: min(window.shape)]
    assert np.allclose(formulas.spectrum(window), expected, atol=1e-8)


def test_the_discriminant_undoes_the_covariance_within_groups() -> None:
    rng = RNG(7)
    mixing = np.array([[1.0, 0.0], [3.0, 0.5]])
    high, low = (rng.normal(size=(4000, 2)) @ mixing.T + shift for shift in ([1.0, 0.0], [0.0, 0.0]))
    expected = np.linalg.solve(mixing @ mixing.T, [1.0, 0.0])
    assert formulas.cosine(formulas.discriminant(high, low), expected) > 0.999
    assert formulas.cosine(formulas.mean_difference(high, low), [1.0, 0.0]) > 0.99
    assert formulas.cosine([0.0, 0.0], [1.0, 0.0]) == 0


@pytest.mark.parametrize(
    "asked",
    [
        lambda bad: formulas.cloud(bad),
        lambda bad: formulas.cloud(np.eye(3)).distances(bad),
        lambda bad: formulas.auroc(bad, [1.0]),
        lambda bad: formulas.auroc([1.0], bad),
        lambda bad: formulas.d_prime(bad, [1.0, 2.0]),
        lambda bad: formulas.linear_cka(bad, np.eye(3)),
        lambda bad: formulas.spectrum(bad),
        lambda bad: formulas.participation_ratio(bad),
        lambda bad: formulas.spectral_heat_capacity(bad),
        lambda bad: formulas.discriminant(bad, np.eye(3)),
    ],
)
@pytest.mark.parametrize("bad", [np.full((3, 3), np.nan), np.array([[np.inf, 1.0], [0.0, 1.0]]), np.empty((0, 3))])
def test_nothing_and_no_number_are_refused(asked, bad: np.ndarray) -> None:
    with pytest.raises(WatchError, match=r"expected (finite numbers|at least)"):
        asked(bad)


@pytest.mark.parametrize(
    "asked",
    [
        lambda: formulas.cloud(np.ones((4, 2))),
        lambda: formulas.d_prime([1.0, 1.0], [2.0, 2.0]),
        lambda: formulas.linear_cka(np.ones((4, 2)), np.eye(4)),
        lambda: formulas.participation_ratio([0.0, 0.0]),
        lambda: formulas.cloud(np.eye(3)).distances(np.eye(4)),
        lambda: formulas.linear_cka(np.eye(3), np.eye(4)),
        lambda: formulas.cloud(np.eye(3), labels=[0, 1]),
    ],
)
def test_what_has_no_answer_is_an_error_with_a_hint(asked) -> None:
    with pytest.raises(WatchError) as caught:
        asked()
    assert caught.value.hint
