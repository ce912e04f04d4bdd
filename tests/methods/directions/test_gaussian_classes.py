"""Ground truth G18: of Gaussian classes it is known what the best direction is and how well it does."""

from math import erf

import numpy as np
import passing
import pytest
from frameworks import Engine, Numbers, engine, engines

from darklantern.errors import MethodError
from darklantern.methods.directions import Direction, direction, leace
from darklantern.methods.directions.lda import ledoit_wolf
from darklantern.methods.directions.logistic import fit as logistic
from darklantern.methods.directions.scoring import auroc

__all__ = ["engine"]
COUNT, DIM = 60_000, 6
STEP = np.array([0.9, -0.4, 0.0, 0.6, 0.3, 0.0])
ROUND = np.eye(DIM)
LONG = np.diag([4.0, 0.25, 1.0, 2.0, 0.5, 1.0]) + 0.3 * np.outer(STEP, STEP)
both = engines("torch", "linen")


def drawn(covariance: Numbers, count: int = COUNT, seed: int = 0) -> tuple[Numbers, Numbers]:
    """Positive and negative examples, around ±STEP/2 and a common mean."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(covariance)
    positive, negative = (rng.normal(size=(count, DIM)) @ root.T + sign * STEP / 2 + 3.0 for sign in (1, -1))
    return positive, negative


def bayes(covariance: Numbers) -> float:
    """The AUROC of the best direction there is: Φ(d'/√2)."""
    return 0.5 * (1 + erf(float(np.sqrt(STEP @ np.linalg.solve(covariance, STEP))) / 2))


def found(engine: Engine, covariance: Numbers, how: str, **options: float) -> Direction:
    sets = drawn(covariance)
    model = passing.opened(engine, sets[0][:1])
    return direction(model, *map(engine.array, sets), passing.SITE, how, controls=0, **options)


def cosine(one: Numbers, other: Numbers) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@both
@pytest.mark.parametrize("how", ["means", "logistic", "lda"])
def test_g18_every_way_finds_the_best_direction_of_round_classes(engine: Engine, how: str) -> None:
    made = found(engine, ROUND, how)
    assert cosine(made.vector, STEP) >= 0.99
    assert made.auroc.value == pytest.approx(bayes(ROUND), abs=0.005)
    assert made.auroc.low < bayes(ROUND) < made.auroc.high
    assert made.accuracy == pytest.approx(0.5 * (1 + erf(np.linalg.norm(STEP) / 2 / 2**0.5)), abs=0.01)


@both
def test_g18_of_long_classes_lda_finds_the_best_direction_and_means_do_not(engine: Engine) -> None:
    best = np.linalg.solve(LONG, STEP)
    by = {how: found(engine, LONG, how) for how in ("means", "logistic", "lda")}
    for how in ("logistic", "lda"):
        assert cosine(by[how].vector, best) >= 0.99
        assert by[how].auroc.value == pytest.approx(bayes(LONG), abs=0.005)
    assert cosine(by["means"].vector, STEP) >= 0.98
    assert by["means"].auroc.value < bayes(LONG) - 0.05


@both
def test_g18_shuffled_labels_are_at_chance(engine: Engine) -> None:
    sets = drawn(LONG, 2_000)
    model = passing.opened(engine, sets[0][:1])
    for how in ("means", "logistic", "lda"):
        made = direction(model, *map(engine.array, sets), passing.SITE, how, controls=20)
        assert np.mean(made.controls.shuffled) == pytest.approx(0.5, abs=0.03)
        assert len(made.controls.random) == 20
        assert how == "means" or max(made.controls.random) < made.auroc.value
        assert max(made.controls.shuffled) < made.auroc.low


@both
def test_g18_after_leace_a_fresh_linear_probe_is_at_chance(engine: Engine) -> None:
    sets = drawn(LONG, 4_000)
    model = passing.opened(engine, sets[0][:1])
    x, labels = np.concatenate(sets), np.repeat([True, False], 4_000)
    made = leace(model, engine.array(x), labels, passing.SITE)
    after = engine.numbers(
        model.record(engine.array(x), passing.SITE, edits={passing.SITE: made.edit()})[passing.SITE].array
    )
    assert np.abs(after[labels].mean(0) - after[~labels].mean(0)).max() < 1e-10
    np.testing.assert_allclose(after.mean(0), x.mean(0), atol=1e-10)
    probe = logistic(after, labels)
    assert auroc(after @ probe.vector, labels) == pytest.approx(0.5, abs=0.02)
    assert ((after @ probe.vector + probe.offset > 0) == labels).mean() <= 0.51
    # On examples that no fit saw, as far as their means are the same.
    fresh = made.eraser(np.concatenate(drawn(LONG, 4_000, seed=1)))
    assert auroc(fresh @ probe.vector, labels) == pytest.approx(0.5, abs=0.03)


@engines("torch")
def test_g18_leace_moves_least_of_the_maps_that_erase(engine: Engine) -> None:
    sets = drawn(LONG, 4_000)
    model = passing.opened(engine, sets[0][:1])
    x, labels = np.concatenate(sets), np.repeat([1, 0], 4_000)
    made = leace(model, [engine.array(part) for part in np.array_split(x, 7)], labels, passing.SITE)
    moved = ((x - made.eraser(x)) ** 2).sum(1).mean()
    shrunk = leace(model, engine.array(x), labels, passing.SITE, shrinkage=1.0)
    assert shrunk.moved == pytest.approx(made.by_means, rel=1e-9)
    step = x[labels == 1].mean(0) - x[labels == 0].mean(0)
    step /= np.linalg.norm(step)
    centred = x - x.mean(0)
    projected = ((centred @ step) ** 2).mean()
    total = (centred**2).sum(1).mean()
    assert made.moved == pytest.approx(moved / total, rel=1e-9)
    assert made.by_means == pytest.approx(projected / total, rel=1e-9)
    assert moved < 0.9 * projected
    # And of all others that erase, which measure along anything else and take the difference of means away for it.
    rng = np.random.default_rng(0)
    for _ in range(50):
        read = rng.normal(size=DIM)
        other = np.outer(read, step) / (read @ step)
        assert ((centred @ other) ** 2).sum(1).mean() >= moved


@engines("torch")
def test_several_classes_are_erased_at_once_and_batches_add_up(engine: Engine) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 3_000)
    x = rng.normal(size=(3_000, DIM)) @ np.linalg.cholesky(LONG).T + rng.normal(size=(4, DIM))[labels]
    model = passing.opened(engine, x[:1])
    names = np.array(["red", "green", "blue", "grey"])[labels]
    parts = leace(model, [engine.array(part) for part in np.array_split(x, 11)], names, passing.SITE)
    whole = leace(model, engine.array(x), names, passing.SITE)
    np.testing.assert_allclose(parts.eraser(x), whole.eraser(x), atol=1e-9)
    assert parts.eraser.write.shape == (3, DIM)
    after = parts.eraser(x)
    means = np.stack([after[labels == each].mean(0) for each in range(4)])
    np.testing.assert_allclose(means, np.broadcast_to(x.mean(0), means.shape), atol=1e-9)


def test_logistic_and_lda_are_scikit_learns() -> None:
    from sklearn.covariance import ledoit_wolf_shrinkage
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from darklantern.methods.directions.lda import fit as lda

    rng = np.random.default_rng(5)
    for count, dim in ((300, 8), (40, 90)):  # more dimensions than examples, too
        x = rng.normal(size=(count, dim)) * rng.uniform(0.3, 3, dim) + 5
        labels = x[:, 0] - x[:, 1] + rng.normal(size=count) > 0
        for penalty in (0.1, 1.0, 30.0):
            scaler = StandardScaler().fit(x)
            theirs = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000).fit(scaler.transform(x), labels)
            mine = logistic(x, labels, penalty=penalty)
            np.testing.assert_allclose(
                mine.vector * scaler.scale_, theirs.coef_[0], atol=1e-4 * np.abs(theirs.coef_).max()
            )
            scores = theirs.decision_function(scaler.transform(x))
            np.testing.assert_allclose(x @ mine.vector + mine.offset, scores, atol=1e-3 * np.abs(scores).max())
        theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2).fit(x, labels)
        mine = lda(x, labels, shrinkage=0.2)
        np.testing.assert_allclose(mine.vector, theirs.coef_[0], rtol=1e-6, atol=1e-8)
        assert mine.offset == pytest.approx(theirs.intercept_[0], rel=1e-6)
        centred = x - x.mean(0)
        share = ledoit_wolf(centred)
        assert share == pytest.approx(ledoit_wolf_shrinkage(centred, assume_centered=True), rel=1e-8)


@engines("torch")
def test_of_few_examples_a_shrunk_covariance_erases_others_better(engine: Engine) -> None:
    labels, few = np.arange(2_080) % 2 == 1, slice(0, 80)
    left: dict[float, list[float]] = {0.0: [], 0.1: []}
    moved: dict[float, list[float]] = {0.0: [], 0.1: []}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(2_080, 60)) * np.exp(rng.normal(size=60))
        x += np.where(labels, 1, -1)[:, None] * rng.normal(size=60) / 4
        model = passing.opened(engine, x[:1])
        for share in left:
            made = leace(model, engine.array(x[few]), labels[few], passing.SITE, shrinkage=share)
            known, others = made.eraser(x[few]), made.eraser(x[80:])
            np.testing.assert_allclose(known[labels[few]].mean(0), known[~labels[few]].mean(0), atol=1e-10)
            left[share].append(np.linalg.norm(others[labels[80:]].mean(0) - others[~labels[80:]].mean(0)))
            moved[share].append(((others - x[80:]) ** 2).sum(1).mean())
    assert np.mean(left[0.1]) < 0.95 * np.mean(left[0.0])
    assert np.mean(moved[0.1]) < 0.95 * np.mean(moved[0.0])
    with pytest.raises(MethodError, match="from 0 to 1"):
        leace(model, engine.array(x[few]), labels[few], passing.SITE, shrinkage=-0.1)
    with pytest.raises(MethodError, match="79 labels for 80"):
        leace(model, engine.array(x[few]), labels[:79], passing.SITE)
    with pytest.raises(MethodError, match="all examples are of one class"):
        leace(model, engine.array(x[few]), [1] * 80, passing.SITE)
