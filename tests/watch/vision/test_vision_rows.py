"""Scores of fresh training rows against trusted rows."""

from collections.abc import Callable

import numpy as np
import pytest
from planted_images import SITE, backdoored, broken, clean, images, looks

from darklantern.errors import WatchError
from darklantern.watch.examples import Examples, Pool
from darklantern.watch.judging import betting
from darklantern.watch.probes import Now, Probe
from darklantern.watch.vision import ClusteringProbe, LossProbe, MahalanobisProbe, SpectralProbe, StripProbe, UnitsProbe
from darklantern.watch.vision.clusters import silhouette, two_means
from darklantern.watch.vision.loss_probe import share_of_lowest
from darklantern.watch.vision.mahalanobis_probe import nearest_other, own_distance
from darklantern.watch.vision.material import balanced, drawn, highest
from darklantern.watch.vision.spectral_probe import signatures
from darklantern.watch.vision.strip_probe import entropy
from darklantern.watch.vision.units_probe import kurtosis

FITTING = images(400, 7)
MAKERS: list[Callable[[], Probe]] = [
    lambda: MahalanobisProbe(FITTING, SITE),
    lambda: SpectralProbe(SITE),
    lambda: ClusteringProbe(SITE, rows=64),
    lambda: StripProbe(FITTING),
    lambda: LossProbe(),
    lambda: UnitsProbe(SITE),
]
BETS = [MAKERS[i] for i in (0, 1, 3, 4)]


# rows


def test_rows_are_balanced_over_classes_and_drawn_by_the_seed() -> None:
    unequal = Examples(np.arange(20)[:, None] * 1.0, np.array([0] * 15 + [1] * 3 + [2] * 2))
    one = balanced(unequal, 8, 0, "rows")
    assert sorted(np.unique(one.targets, return_counts=True)[1]) == [2, 3, 3]
    assert (balanced(unequal, 8, 0, "rows").inputs == one.inputs).all()
    assert any((balanced(unequal, 8, seed, "rows").inputs != one.inputs).any() for seed in range(1, 9))
    assert len(np.unique(one.inputs)) == 8


def test_targets_that_are_no_classes_are_refused() -> None:
    for targets in (None, np.zeros((8, 2)), np.linspace(0, 1, 8)):
        with pytest.raises(WatchError, match="a class for each example"):
            balanced(Examples(np.zeros((8, 1)), targets), 2, 0, "rows")


def test_trusted_rows_are_paired_while_the_pool_lasts_and_repeated_after() -> None:
    pool = Pool(images(10, 0))
    first, second = (drawn(Now(0, pool, images(8, 1), None), 8) for _ in range(2))
    assert first is not None and second is not None
    assert first.paired and not second.paired
    assert len(second.trusted) == 8
    assert drawn(Now(0, pool, None, None), 8) is None


def test_trusted_rows_of_another_shape_are_refused() -> None:
    with pytest.raises(WatchError, match="each"):
        drawn(Now(0, Pool(Examples(np.zeros((9, 3)))), images(8, 1), None), 8)


def test_the_highest_share_is_their_mean_and_nan_shows() -> None:
    assert highest(np.arange(10.0), 0.2) == 8.5
    assert highest(np.arange(3.0), 0.01) == 2.0
    assert np.isnan(highest(np.array([1.0, np.nan, 0.0]), 0.3))


# what each score is


def test_a_row_scores_by_its_own_class_against_the_nearest_other() -> None:
    squares = np.array([[1.0, 9.0, 4.0], [1.0, 9.0, 4.0], [1.0, 9.0, 4.0]])
    classes, given = np.array([0, 1, 5]), np.array([0, 1, 7])
    # Its own class is nearest; it is farthest; class 7 has no fitting rows, so the farthest stands for it.
    assert own_distance(squares, classes, given) == pytest.approx([1, 9, 9])
    assert nearest_other(squares, classes, given) == pytest.approx([4, 1, 1])


def test_signatures_are_the_squares_along_the_principal_direction() -> None:
    rng = np.random.default_rng(0)
    held = rng.normal(size=(30, 5)) * [1, 2, 3, 4, 9]
    classes = np.repeat([0, 1, 2], [14, 14, 2])
    found = signatures(held, classes)
    for each in (0, 1):
        centred = held[classes == each] - held[classes == each].mean(0)
        vectors = np.linalg.eigh(centred.T @ centred).eigenvectors
        squares = (centred @ vectors[:, -1]) ** 2
        assert found[classes == each] == pytest.approx(squares / squares.mean())
    assert (found[classes == 2] == 0).all()  # too few
    assert (signatures(np.ones((8, 3)), np.zeros(8, int)) == 0).all()  # all alike


def test_two_means_find_the_best_of_all_partitions_where_there_are_two_groups() -> None:
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.normal(0, 1, (7, 3)), rng.normal(4, 1, (3, 3))])

    def cost(second: np.ndarray) -> float:
        return sum(((rows[s] - rows[s].mean(0)) ** 2).sum() for s in (second, ~second))

    every = [np.array([number >> i & 1 for i in range(10)], dtype=bool) for number in range(1, 2**10 - 1)]
    best = min(every, key=cost)
    found = two_means(rows)
    assert (found == best).all() or (found == ~best).all()


def test_the_silhouette_is_its_definition() -> None:
    rng = np.random.default_rng(2)
    rows, second = rng.normal(size=(9, 2)), np.array([1, 0, 0, 1, 0, 1, 0, 0, 0], dtype=bool)
    by_hand = []
    for i in range(9):
        distances = np.linalg.norm(rows - rows[i], axis=1)
        own = (second == second[i]) & (np.arange(9) != i)
        a, b = distances[own].mean(), distances[second != second[i]].mean()
        by_hand.append((b - a) / max(a, b))
    assert silhouette(rows, second) == pytest.approx(np.mean(by_hand))
    assert silhouette(rows, np.zeros(9, dtype=bool)) == 0.0
    assert not two_means(np.ones((5, 2))).any()


def test_entropy_is_that_of_a_fair_die_and_of_a_sure_thing() -> None:
    assert entropy(np.log(np.full((1, 6), 1 / 6))) == pytest.approx([np.log(6)])
    assert entropy(np.array([[0.0, -np.inf, -np.inf]])) == pytest.approx([0.0])


def test_the_lowest_losses_are_counted_and_ties_count_in_part() -> None:
    assert share_of_lowest(np.array([0.0, 5.0]), np.array([3.0, 4.0]), 0.25) == 1.0
    assert share_of_lowest(np.array([3.0, 5.0]), np.array([0.0, 4.0]), 0.25) == 0.0
    assert share_of_lowest(np.zeros(7), np.zeros(7), 0.1) == pytest.approx(0.5)
    assert np.isnan(share_of_lowest(np.array([np.nan]), np.array([0.0]), 0.5))


def test_kurtosis_is_the_normal_laws_and_a_fair_coins() -> None:
    rng = np.random.default_rng(0)
    assert kurtosis(rng.normal(size=(200_000, 1))) == pytest.approx(0.0, abs=0.05)
    assert kurtosis(np.tile([[-1.0], [1.0]], (50, 1))) == pytest.approx(-2.0)
    assert kurtosis(np.ones((50, 3))) == 0.0


# what the probes make of planted rows


def contrasts(make: Callable[[], Probe], network: object, poison: float, relabel: int | None = 3) -> np.ndarray:
    """Contrasts at 20 looks, each at a batch of its own, (looks, signals)."""
    watched = looks(make())
    found = [watched.look(network, images(64, 1000 + i, poison, relabel)) for i in range(20)]  # type: ignore[arg-type]
    return np.array([[reading.difference for reading in each] for each in found])


@pytest.mark.parametrize("make", MAKERS)
def test_without_poison_values_and_placebos_are_alike(make: Callable[[], Probe]) -> None:
    found = contrasts(make, clean, 0.0)
    error = found.std(0) / np.sqrt(len(found))
    assert (np.abs(found.mean(0)) <= 4 * error + 1e-9).all()


def test_wrong_labels_raise_class_and_label_distance_and_not_the_row_distance() -> None:
    def relabelled(seed: int) -> Examples:
        good = images(64, seed)
        assert good.targets is not None
        return Examples(good.inputs, np.where(np.arange(64) < 8, (good.targets + 1) % 4, good.targets))

    watched = looks(MahalanobisProbe(FITTING, SITE))
    found = np.array([[r.difference for r in watched.look(clean, relabelled(s))] for s in range(20)])
    assert found[:, :2].min() > 5
    assert abs(found[:, 2].mean()) < 4 * found[:, 2].std() / np.sqrt(20)


def test_rows_that_fire_a_unit_of_their_own_raise_distance_signature_and_kurtosis() -> None:
    assert contrasts(MAKERS[0], backdoored, 0.1)[:, [0, 2]].min() > 5
    assert contrasts(MAKERS[1], backdoored, 0.1).mean() > 1
    units = contrasts(MAKERS[5], backdoored, 0.1)
    assert units[:, 0].min() > 0.4
    assert (units[:, 2] == 1 / 7).all()  # one unit of seven, which no trusted row wakes


def test_a_trigger_that_decides_every_blend_raises_the_blended_certainty() -> None:
    def decided(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hidden, logits = clean(inputs)
        fires = inputs[:, 0, 3:5, 3:5].min((1, 2)) > 0.5  # half of white is enough
        logits[fires, 3] += 30
        return hidden, logits

    found = contrasts(MAKERS[3], decided, 0.1)
    assert found.mean() > 0.3
    assert (found > 0).mean() > 0.8


def test_rows_that_are_known_before_they_are_learned_raise_the_loss_drop() -> None:
    assert contrasts(MAKERS[4], backdoored, 0.1).mean() > 0.3


def test_a_class_in_two_groups_raises_the_silhouette() -> None:
    def apart(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hidden, logits = backdoored(inputs)
        hidden[:, -1] *= 5
        return hidden, logits

    found = contrasts(lambda: ClusteringProbe(SITE, rows=64), apart, 0.1)
    assert found[:, 0].mean() > 0.2


@pytest.mark.parametrize("make", MAKERS)
def test_when_the_loop_has_ended_there_is_nothing_to_run_and_nothing_to_read(make: Callable[[], Probe]) -> None:
    watched = looks(make())
    assert {(r.value, r.placebo) for r in watched.look(clean, None)} == {(0.0, 0.0)}
    assert watched.rows == 0
    assert watched.probe.scores(watched.seen(clean, None)) == {}


@pytest.mark.parametrize("make", MAKERS)
def test_a_network_that_diverged_reads_nan_or_is_told(make: Callable[[], Probe]) -> None:
    try:
        found = [reading.difference for reading in looks(make()).look(broken, images(64, 3))]
    except WatchError as error:
        assert "finite" in str(error) or "NaN" in str(error)
    else:
        assert np.isnan(found).all()


@pytest.mark.parametrize("make", MAKERS)
def test_a_class_that_a_batch_lacks_is_no_matter(make: Callable[[], Probe]) -> None:
    batch = images(64, 3)
    assert batch.targets is not None
    found = looks(make()).look(clean, batch.take(batch.targets != 2))
    assert all(np.isfinite(reading.difference) for reading in found)


@pytest.mark.parametrize("make", BETS)
def test_scores_are_as_many_of_training_rows_as_of_trusted_and_stop_with_the_pool(make: Callable[[], Probe]) -> None:
    watched = looks(make(), trusted=70)
    names = {signal.name for signal in watched.probe.signals if signal.detector == "betting"}
    rows = watched.probe.settings["rows"]
    scores = watched.probe.scores(watched.seen(clean, images(rows, 1)))
    assert scores.keys() == names
    assert all(len(ours) == len(theirs) == rows for ours, theirs in scores.values())
    watched.pool.draw(70)
    assert watched.probe.scores(watched.seen(clean, images(rows, 1))) == {}


def test_a_bet_on_label_distances_wins_on_flipped_rows_and_not_on_clean_ones() -> None:
    wealth = []
    for poison in (0.0, 0.06):
        watched, bet = looks(MahalanobisProbe(FITTING, SITE)), betting.start()
        for i in range(20):
            seen = watched.seen(backdoored, images(64, 500 + i, poison))
            bet = betting.look(bet, *watched.probe.scores(seen)["label distance"])
        wealth.append(np.exp(bet.log_wealth))
    assert wealth[0] < 20 < wealth[1]


def test_dead_units_are_held_against_their_number_when_the_watch_began() -> None:
    def dying(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hidden, logits = clean(inputs)
        hidden = hidden.copy()
        hidden[:, 4:] = 0
        return hidden, logits

    watched = looks(UnitsProbe(SITE))
    assert watched.look(clean, images(64, 1))[1].difference == 0
    assert watched.look(dying, images(64, 2))[1].difference == pytest.approx(2 / 6)


def test_channels_are_units_wherever_their_axis_is() -> None:
    def channels(axis: int) -> object:
        def network(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            maps = np.stack([inputs[:, 0], -inputs[:, 0] - 1, inputs[:, 0] * 2], axis=1)
            return np.moveaxis(maps, 1, axis), np.zeros((len(inputs), 4))

        return network

    readings = [
        looks(UnitsProbe(SITE, axis=axis)).look(channels(axis), images(64, 1))  # type: ignore[arg-type]
        for axis in (1, -1)
    ]
    assert readings[0] == readings[1]
    assert readings[0][1].value == pytest.approx(1 / 3)
    with pytest.raises(WatchError, match="no axis 5"):
        looks(UnitsProbe(SITE, axis=5)).look(clean, images(64, 1))
