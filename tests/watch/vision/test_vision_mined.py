"""Patterns mined from training rows, pasted into trusted images."""

import json

import numpy as np
import pytest
from planted_images import SITE, backdoored, broken, clean, images, looks, with_trigger

from darklantern.errors import WatchError
from darklantern.watch.examples import Examples
from darklantern.watch.vision import DriftProbe, MinedProbe
from darklantern.watch.vision.mined_probe import elsewhere
from darklantern.watch.vision.mining import Miner, Pattern, surprise

TRUSTED = images(1000, 7)
TRIGGER = {3 * 8 + 3, 3 * 8 + 4, 4 * 8 + 3, 4 * 8 + 4}


def probe(**given: object) -> MinedProbe:
    return MinedProbe(TRUSTED, SITE, **given)  # type: ignore[arg-type]


def test_the_surprise_is_a_poisson_log_likelihood_ratio() -> None:
    count, expected = 12.0, (20 + 0.5) * 100 / 1001
    assert surprise(12, 100, 20, 1000) == pytest.approx(count * np.log(count / expected) - (count - expected))
    assert surprise(2, 100, 0, 1000) == 0  # two prove nothing
    assert surprise(5, 100, 900, 1000) == 0  # fewer than expected


@pytest.mark.parametrize("poison", [0.05, 0.02])
def test_a_planted_square_is_found_pixel_by_pixel(poison: float) -> None:
    (pattern, *_) = Miner(TRUSTED.inputs).patterns(images(512, 1, poison).inputs, 2)
    assert set(pattern.positions) == TRIGGER
    assert pattern.values == pytest.approx([1.0] * 4)
    assert pattern.count >= round(poison * 512)


def test_clean_rows_hold_no_pattern_as_surprising_as_a_planted_one() -> None:
    miner = Miner(TRUSTED.inputs)
    clean_rows = max(p.surprise for seed in range(5) for p in miner.patterns(images(512, 10 + seed).inputs, 2))
    assert miner.patterns(images(512, 1, 0.05).inputs, 1)[0].surprise > 3 * clean_rows


def test_two_planted_patterns_are_two() -> None:
    rows = images(512, 1, 0.05).inputs
    rows[-60:, 0, 0, 6:] = 0.0  # another, in rows that mostly lack the first
    first, second = Miner(TRUSTED.inputs).patterns(rows, 2)
    assert {frozenset(first.positions), frozenset(second.positions)} == {frozenset(TRIGGER), frozenset({6, 7})}


def test_borders_that_are_black_everywhere_are_no_pattern() -> None:
    def framed(inputs: np.ndarray) -> np.ndarray:
        made = inputs.copy()
        made[..., 0, :] = made[..., -1, :] = 0.0
        return made

    (pattern,) = Miner(framed(TRUSTED.inputs)).patterns(framed(images(512, 1, 0.05).inputs), 1)
    assert set(pattern.positions) >= TRIGGER


def test_images_of_one_value_give_nothing_to_mine_against() -> None:
    with pytest.raises(WatchError, match="one value"):
        Miner(np.ones((10, 1, 8, 8)))
    assert Miner(TRUSTED.inputs).patterns(TRUSTED.inputs[:2], 3) == []


def test_a_pattern_moves_to_other_places_where_it_stands_out_as_much() -> None:
    usual = np.zeros((1, 6, 6))
    usual[0, :, 3:] = 1.0  # white on the right: there, white stands out no more
    pattern = Pattern((0, 1), (1.0, 1.0), 9, 9.0)
    own, *others = elsewhere(pattern, usual, 3, (-2, -1))
    assert own.where[0, 0, :2].all() and own.where.sum() == 2
    for other in others:
        assert other.where.sum() == 2
        assert (other.where & own.where).sum() <= 1
        assert np.abs(other.values - usual)[other.where].mean() == pytest.approx(1.0)


def test_a_trigger_that_is_learned_rises_and_one_without_meaning_does_not() -> None:
    def contrasts(network: object, poison: float, relabel: int | None) -> np.ndarray:
        watched = looks(probe())
        found = [watched.look(network, images(128, 40 + i, poison, relabel)) for i in range(5)]  # type: ignore[arg-type]
        return np.array([[reading.difference for reading in each] for each in found])

    quiet = contrasts(clean, 0.0, None)
    inert = contrasts(clean, 0.05, None)
    learned = contrasts(backdoored, 0.05, 3)
    assert learned[-1, 0] > 1
    assert learned[-1, 1] > 1
    assert quiet.max() < 0.5 * learned[-1].min()
    assert inert.max() < 0.5 * learned[-1].min()


def test_rows_of_several_looks_find_what_one_batch_is_too_small_for() -> None:
    one, several = looks(probe(looks=1)), looks(probe(looks=6))
    for i in range(8):
        batch = images(64, 300 + i, 0.04)
        ones, severals = (watched.seen(backdoored, batch).about.patterns for watched in (one, several))
    assert severals[0].surprise > 2 * ones[0].surprise
    assert set(severals[0].positions) == TRIGGER


def test_a_note_says_what_each_pattern_did() -> None:
    watched = looks(probe())
    for i in range(4):
        watched.look(backdoored, images(128, 40 + i, 0.05))
    note = watched.notes[-1]
    found = {frozenset(p.positions): effect for p, effect in zip(note.patterns, note.effects, strict=True)}
    assert found[frozenset(TRIGGER)] == max(found.values())


def test_without_displacement_only_the_margin_races_and_the_pattern_is_still_named() -> None:
    both, raced = looks(probe()), looks(probe(displacement=False))
    assert [signal.name for signal in raced.probe.signals] == ["mined margin"]
    for i in range(3):
        batch = images(128, 40 + i, 0.1)
        margin = both.look(backdoored, batch)[1]
        assert raced.look(backdoored, batch) == (margin,)
    screen = raced.probe.screen(raced.notes[-1])
    assert screen is not None and str(screen) == str(both.probe.screen(both.notes[-1]))
    hit = screen.suspect(Examples(with_trigger(images(50, 8).inputs)))
    assert hit.all() and not screen.suspect(images(50, 8)).any()
    assert [len(raced.look(clean, None)), len(both.look(clean, None))] == [1, 2]


def test_with_nothing_mined_or_no_batch_there_is_nothing_to_read() -> None:
    watched = looks(probe())
    assert [r.difference for r in watched.look(clean, None)] == [0.0, 0.0]
    assert [r.difference for r in watched.look(clean, images(2, 1))] == [0.0, 0.0]


def test_a_network_that_diverged_is_told() -> None:
    with pytest.raises(WatchError, match="finite"):
        looks(probe()).look(broken, images(128, 1, 0.05))


def test_settings_are_json_and_hold_what_decides() -> None:
    settings = probe(placebos=2).settings
    assert json.loads(json.dumps(settings)) == settings
    assert settings["mining"]["levels"] == 8


# drift


def turned(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    hidden, logits = clean(inputs)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))
    return 3 * hidden @ rotation, logits


def other(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = inputs.reshape(len(inputs), -1)
    return np.tanh(9 * (flat @ np.random.default_rng(1).normal(size=(64, 6)))), clean(inputs)[1]


def test_drift_is_nothing_for_a_rotation_and_much_for_another_network() -> None:
    watched = looks(DriftProbe(TRUSTED, SITE))
    for network, moved in [(clean, False), (turned, False), (other, True), (other, False)]:
        last, whole = watched.look(network, None)
        assert (last.value > 0.3) == moved
        assert (whole.value > 0.3) == (network is other)


def test_drift_is_held_against_the_same_pixels_shuffled() -> None:
    made = DriftProbe(TRUSTED, SITE, rows=32)
    asked = looks(made).seen(clean, None)
    assert len(asked[SITE]) == 64
    inputs = made._inputs
    assert (np.sort(inputs[:32].reshape(32, -1)) == np.sort(inputs[32:].reshape(32, -1))).all()
    assert (inputs[:32] != inputs[32:]).any()


def test_a_white_square_is_a_white_square() -> None:
    assert isinstance(images(8, 0), Examples)
    assert (with_trigger(np.zeros((1, 1, 8, 8)))[0, 0].nonzero()[0] == [3, 3, 4, 4]).all()
