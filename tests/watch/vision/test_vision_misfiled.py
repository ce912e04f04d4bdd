"""Rows that come under one label and lie, inside the model, where another class does."""

import numpy as np
import pytest
from planted_images import SITE, backdoored, clean, images, looks

from darklantern.errors import WatchError
from darklantern.watch.examples import Examples, Pool
from darklantern.watch.formulas import linear_discriminant
from darklantern.watch.probes import Now
from darklantern.watch.screening import FeatureScreen
from darklantern.watch.vision import MahalanobisProbe, MisfiledProbe, StripProbe
from darklantern.watch.vision.material import Familiar, drawn
from darklantern.watch.vision.misfiled_probe import gathered

FITTING = images(400, 7)


def probe(**settings: int) -> MisfiledProbe:
    return MisfiledProbe(FITTING, SITE, rows=64, fitted=200, **settings)


def relabelled(seed: int, to: int | None, share: float = 0.1) -> Examples:
    """Rows of which a share has the label `to`, or each the next class's."""
    good = images(64, seed)
    assert good.targets is not None
    bad = np.arange(64) < round(share * 64)
    return Examples(good.inputs, np.where(bad, (good.targets + 1) % 4 if to is None else to, good.targets))


def contrasts(network: object, batches: list[Examples]) -> np.ndarray:
    watched = looks(probe())
    return np.array([watched.look(network, each)[0].difference for each in batches])  # type: ignore[arg-type]


# the formula


def test_what_features_say_against_a_label_is_bayes_rule_for_gaussian_classes() -> None:
    rng = np.random.default_rng(0)
    means = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])
    given = np.repeat(np.arange(3), 20_000)
    rows = means[given] + rng.normal(size=(60_000, 3)) * 0.7
    new = rng.normal(size=(50, 3)) * 2
    densities = np.exp(-((new[:, None] - means) ** 2).sum(-1) / (2 * 0.7**2))
    by_hand = -np.log(densities / densities.sum(1, keepdims=True))
    found = linear_discriminant(rows, given)
    for each in range(3):
        assert found.against(new, np.full(50, each)) == pytest.approx(by_hand[:, each], rel=0.05, abs=0.1)


def test_a_label_without_a_class_counts_as_the_least_likely_one() -> None:
    rng = np.random.default_rng(1)
    given = np.repeat([0, 1, 5], 50)
    found = linear_discriminant(rng.normal(size=(150, 2)) + given[:, None], given)
    new = rng.normal(size=(9, 2))
    every = np.stack([found.against(new, np.full(9, each)) for each in (0, 1, 5)])
    assert found.against(new, np.full(9, 3)) == pytest.approx(every.max(0))


def test_classes_that_cannot_be_fitted_are_refused() -> None:
    with pytest.raises(WatchError, match="two classes or more"):
        linear_discriminant(np.random.default_rng(0).normal(size=(8, 2)), np.zeros(8))
    with pytest.raises(WatchError, match="as many features"):
        linear_discriminant(np.random.default_rng(0).normal(size=(8, 2)), np.arange(8) % 2).against(
            np.ones((1, 3)), [0]
        )


def test_the_label_that_gathers_most_counts_and_not_the_sum_over_labels() -> None:
    nats, given = np.array([1.0, 2.0, 4.0, 0.5]), np.array([0, 0, 1, 0])
    assert gathered(nats, given) == 1.0
    assert gathered(nats, np.zeros(4, int)) == 7.5 / 4


# what the probe makes of planted rows


def test_rows_under_a_wrong_label_raise_it_and_most_where_one_label_gathers_them() -> None:
    scattered = contrasts(clean, [relabelled(s, None) for s in range(20)])
    to_one = contrasts(clean, [relabelled(s, 2) for s in range(20)])
    none = contrasts(clean, [relabelled(s, 2, 0.0) for s in range(20)])
    assert to_one.mean() > scattered.mean() > none.mean() + 4 * none.std() / np.sqrt(20)
    assert to_one.min() > none.max()


def test_a_square_under_any_label_does_not_raise_it() -> None:
    found = contrasts(backdoored, [images(64, 100 + s, 0.1, relabel=None) for s in range(20)])
    wrong = contrasts(clean, [relabelled(s, 2) for s in range(20)])
    assert found.mean() < wrong.mean() / 4


def test_once_the_loop_has_ended_it_reads_nothing_and_without_a_frozen_model_it_names_no_rows() -> None:
    watched = looks(probe())
    (reading,) = watched.look(clean, None)
    assert (reading.value, reading.placebo) == (0.0, 0.0)
    assert watched.probe.screen(1.0) is None


# which rows it names


def test_a_screen_freezes_the_model_when_it_is_first_asked_and_takes_wrong_labels() -> None:
    now = {"network": backdoored}
    frozen: list[object] = []

    def freeze():
        network = now["network"]
        frozen.append(network)
        return lambda inputs: network(inputs)[0]

    screen = MisfiledProbe(FITTING, SITE, freeze=freeze).screen(None)
    assert isinstance(screen, FeatureScreen)
    assert not frozen
    now["network"] = clean  # the rollback
    rows = relabelled(5, None, 0.25)
    wrong = np.arange(64) < 16
    suspect = screen.suspect(rows)
    assert suspect[wrong].mean() > 0.9
    assert suspect[~wrong].mean() < 0.1
    now["network"] = backdoored
    assert np.array_equal(screen.suspect(rows), suspect)
    assert frozen == [clean]
    assert len(screen.suspect(rows.take(slice(0, 0)))) == 0
    with pytest.raises(WatchError, match="a label each"):
        screen.suspect(Examples(rows.inputs))


# rows that a score was fitted on


def test_rows_that_a_score_is_made_with_stand_on_neither_side_of_a_bet() -> None:
    """The pool holds the fitting rows, and so does the batch; without them a bet is between strangers."""
    pool, few = images(300, 3), images(40, 4)
    mixed = Examples(np.concatenate([pool.inputs[:30], few.inputs]), np.concatenate([pool.targets[:30], few.targets]))
    for made in (
        MahalanobisProbe(pool.take(slice(0, 60)), SITE, rows=32, fitted=60),
        MisfiledProbe(pool.take(slice(0, 60)), SITE, rows=32, fitted=60),
        StripProbe(pool.take(slice(0, 60)), rows=32, blends=60),
    ):
        given = Pool(pool)
        fitted = {row.tobytes() for row in pool.inputs[:60]}
        for _ in range(5):
            about = made.inputs(Now(0, given, mixed, None)).about
            assert about.paired and about.count == 32
            for side in (about.train, about.trusted):
                assert not fitted & {row.tobytes() for row in side.inputs}


def test_a_pool_of_nothing_else_leaves_no_pair_and_a_batch_of_nothing_else_no_rows() -> None:
    rows = images(40, 1)
    familiar = Familiar(rows)
    found = drawn(Now(0, Pool(rows), images(8, 2), None), 8, familiar)
    assert found is not None and not found.paired and len(found.trusted) == 8
    assert drawn(Now(0, Pool(images(40, 3)), rows, None), 8, familiar) is None


def test_a_row_is_familiar_whatever_kind_of_number_it_comes_in() -> None:
    rows = images(12, 1)
    doubled = Examples(rows.inputs.astype(np.float64), rows.targets)
    assert len(Familiar(rows.take(slice(0, 5))).without(doubled)) == 7
