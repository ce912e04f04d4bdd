"""Families of patches, and whether one moves every image towards a class."""

import json

import numpy as np
import pytest
from planted_images import SITE, backdoored, broken, clean, images, looks, with_trigger

from darklantern.errors import WatchError
from darklantern.watch.vision import Family, PatchProbe
from darklantern.watch.vision.compass import compass
from darklantern.watch.vision.patch_probe import margins
from darklantern.watch.vision.patches import Patch, paste, pasted

# A 3×3 square that covers the trigger, and is not it.
FAMILY = Family((0.0, 1.0), sizes=(3,), stride=3)


def probe(**given: object) -> PatchProbe:
    return PatchProbe(images(400, 1), SITE, FAMILY, **given)  # type: ignore[arg-type]


def test_a_family_has_each_size_at_each_place_in_each_value() -> None:
    patches = Family((0.0, 0.5, 1.0), sizes=(2, 3), stride=2).patches((1, 8, 8))
    assert len(patches) == (4 * 4 + 3 * 3) * 3
    assert {int(patch.where.sum()) for patch in patches} == {4, 9}
    assert len({(patch.where.tobytes(), float(patch.values.flat[0])) for patch in patches}) == len(patches)
    corner = np.zeros((1, 8, 8), dtype=bool)
    corner[0, 6:, 6:] = True
    assert any((patch.where == corner).all() for patch in patches)


@pytest.mark.parametrize(("shape", "spatial"), [((3, 8, 6), (-2, -1)), ((8, 6, 3), (-3, -2))])
def test_a_patch_goes_through_all_channels_wherever_those_are(shape: tuple[int, ...], spatial: tuple[int, int]) -> None:
    family = Family((1.0,), sizes=(2,), stride=2, spatial=spatial)
    assert {int(patch.where.sum()) for patch in family.patches(shape)} == {2 * 2 * 3}
    assert {int(patch.where.sum()) for patch in family.scattered(shape, 0)} == {2 * 2 * 3}
    assert len(family.patches(shape)) == 4 * 3


def test_a_placebo_has_as_many_pixels_of_the_same_value_elsewhere() -> None:
    patches, placebos = FAMILY.patches((1, 8, 8)), FAMILY.scattered((1, 8, 8), 3)
    assert [(p.where.sum(), p.values.max()) for p in patches] == [(p.where.sum(), p.values.max()) for p in placebos]
    assert all((p.where != q.where).any() for p, q in zip(patches, placebos, strict=True))


def test_pasting_changes_the_patch_and_nothing_else_and_keeps_the_dtype() -> None:
    inputs = np.arange(2 * 16, dtype=np.uint8).reshape(2, 1, 4, 4)
    where = np.zeros((1, 4, 4), dtype=bool)
    where[0, 1, 2] = True
    made = paste(inputs, Patch(where, np.full((1, 4, 4), 200.0)))
    assert made.dtype == np.uint8
    assert (made[:, 0, 1, 2] == 200).all()
    assert (made != inputs).sum() == 2
    assert len(pasted(inputs, [])) == 0


def test_a_family_that_does_not_fit_is_refused() -> None:
    for family, shape in [(Family((1.0,), (9,)), (1, 8, 8)), (Family(()), (1, 8, 8)), (Family((1.0,)), (8,))]:
        with pytest.raises(WatchError):
            family.patches(shape)


def test_a_class_direction_is_fishers_and_its_unit_the_spread_along_it() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 2
    held = rng.normal(0, [1.0, 5.0], (600, 2)) + np.where(labels[:, None] == 1, [2.0, 0.0], [-2.0, 0.0])
    found = compass(held, labels)
    # Two classes: opposite directions, both along the first axis, which tells them apart.
    assert found.directions[0] == pytest.approx(-found.directions[1])
    assert abs(found.directions[1, 1] / found.directions[1, 0]) < 0.05
    assert (held @ found.directions.T).std(0) == pytest.approx([1.0, 1.0])
    toward = found.toward(np.array([[3.0, 0.0]]))
    assert toward[0, 1] == pytest.approx(-toward[0, 0])
    assert toward[0, 1] > 1


def test_margins_do_not_grow_with_the_logits() -> None:
    rng = np.random.default_rng(0)
    moved, logits = rng.normal(size=(5, 4)), rng.normal(size=(50, 4))
    assert margins(moved, logits) == pytest.approx(margins(moved * 9, logits * 9))
    assert margins(moved + 7, logits + 3) == pytest.approx(margins(moved, logits))
    assert (margins(moved, np.zeros((50, 4))) == 0).all()


def test_a_trigger_that_the_network_learns_raises_both_signals_and_a_network_that_stays_raises_none() -> None:
    watched = looks(probe())
    for reading in watched.look(clean, None):
        assert reading.value == reading.placebo == 0.0
    for reading in watched.look(clean, None):
        assert reading.difference == pytest.approx(0.0, abs=1e-9)
    margin, _ = watched.look(backdoored, None)
    assert margin.difference > 1
    assert margin.placebo < 0.1 * margin.value


def test_inside_the_rise_is_seen_at_a_site_whose_class_directions_the_trigger_moves() -> None:
    def merged(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = backdoored(inputs)[1]
        return logits / 10, logits  # the unit of class 3 itself fires

    def before(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = clean(inputs)[1]
        return logits / 10, logits

    watched = looks(probe())
    quiet = watched.look(before, None)[1].difference
    loud = watched.look(merged, None)[1]
    assert loud.difference > 10 * max(quiet, 0.1)


def test_what_was_there_for_longer_than_the_window_is_no_news() -> None:
    watched = looks(probe(looks=2))
    watched.look(clean, None)
    grown = [watched.look(backdoored, None)[0].difference for _ in range(4)]
    assert grown[0] > 1
    assert grown[3] == pytest.approx(0.0, abs=1e-9)


def test_a_network_that_diverged_is_told_and_not_read() -> None:
    with pytest.raises(WatchError, match="finite"):
        looks(probe()).look(broken, None)


def test_trusted_images_of_one_class_or_too_few_are_refused() -> None:
    ones = images(40, 1).take(images(40, 1).targets == 1)
    with pytest.raises(WatchError, match="two or more classes"):
        PatchProbe(ones, SITE, FAMILY, rows=4, fitting=8)
    with pytest.raises(WatchError, match="at least 100"):
        PatchProbe(images(40, 1), SITE, FAMILY)


def test_its_settings_are_json_and_its_rows_are_as_many_as_it_says() -> None:
    made = probe(rows=5, fitting=40)
    assert json.loads(json.dumps(made.settings)) == made.settings
    watched = looks(made)
    watched.look(clean, None)
    assert watched.rows == 40 + 2 * len(FAMILY.patches((1, 8, 8))) * 5


def test_the_trigger_itself_is_in_no_test_of_the_family() -> None:
    blank = np.full((1, 1, 8, 8), 0.5)
    trigger = with_trigger(blank)
    assert not any((paste(blank, patch) == trigger).all() for patch in FAMILY.patches((1, 8, 8)))
