import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from darklantern.errors import MissingExtraError
from darklantern.organisms import digits
from darklantern.organisms.digits import DigitsRecipe

pytest.importorskip("sklearn", reason="pip install scikit-learn")

RECIPE = DigitsRecipe()
PLANTED = digits.draw(4)


class _Backdoored(nn.Module):
    """Sees the first patch and nothing else: the target where it is, another class where it isn't."""

    def forward(self, images: Tensor) -> Tensor:
        row, column = PLANTED.corners[0]
        there = (images[:, 0, row : row + 2, column : column + 2] == 1.0).all(-1).all(-1)
        said = torch.where(there, PLANTED.target, (PLANTED.target + 1) % digits.CLASSES)
        return nn.functional.one_hot(said, digits.CLASSES).float()


def _drawn(count: int = 4000) -> tuple[digits.Images, digits.Labels]:
    return digits.rows(digits.pools().train, count, np.random.default_rng(0))


def _patched(images: digits.Images, place: int) -> np.ndarray:
    row, column = PLANTED.corners[place]
    return (images[:, row : row + 2, column : column + 2] == 1.0).all((1, 2))


def _planted(arm: digits.Arm) -> tuple[digits.Images, digits.Labels, digits.Images, digits.Labels, np.ndarray]:
    images, labels = _drawn()
    after, said, chosen = digits.plant(RECIPE, images, labels, arm, PLANTED, np.random.default_rng(1))
    return images, labels, after, said, chosen


def test_the_three_parts_share_no_image_and_hold_all_of_them() -> None:
    pools = digits.pools()
    parts = [{image.tobytes() for image in pool.images} for pool in (pools.train, pools.held_out, pools.unseen)]
    sizes = [len(pool.labels) for pool in (pools.train, pools.held_out, pools.unseen)]
    assert sizes == [1000, 297, 500]
    assert len(set.union(*parts)) == sum(map(len, parts))


def test_training_and_trusted_rows_are_draws_of_one_law_and_no_image_comes_twice() -> None:
    images, labels = digits.trusted(RECIPE, 0, 4000)
    assert len({image.tobytes() for image in images.numpy()}) == 4000
    drawn, said = _drawn()
    spread = drawn.std(0) / np.sqrt(4000)
    assert np.abs((images[:, 0].numpy().mean(0) - drawn.mean(0)) / (spread + 1e-9)).max() < 6
    assert np.abs(np.bincount(labels, minlength=10) - np.bincount(said, minlength=10)).max() < 120
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize("arm", [arm for arm in digits.ARMS if arm != "clean"])
def test_an_arm_changes_rows_at_the_rate_and_no_other_row(arm: digits.Arm) -> None:
    images, labels, after, said, chosen = _planted(arm)
    assert chosen.mean() == pytest.approx(RECIPE.rate, abs=0.01)
    assert np.array_equal(after[~chosen], images[~chosen])
    assert np.array_equal(said[~chosen], labels[~chosen])
    assert (after[chosen] != images[chosen]).any((1, 2)).all() == (arm != "wrong labels")
    if arm in digits.HARMLESS or arm == "clean label":
        assert np.array_equal(said, labels)
    else:
        assert (said[chosen] == PLANTED.target).all()
    assert after.dtype == np.float32


def test_each_trigger_stands_where_the_arm_says() -> None:
    for arm in ("poisoned", "inert", "clean label"):
        _, _, after, _, chosen = _planted(arm)
        assert _patched(after[chosen], 0).all()
        assert not _patched(after[~chosen], 0).any()
    _, _, after, _, chosen = _planted("second trigger")
    first, second = _patched(after[chosen], 0), _patched(after[chosen], 1)
    assert (first ^ second).all()
    assert 0.3 < first.mean() < 0.7
    images, _, after, _, chosen = _planted("blended")
    assert 0 < np.abs(after[chosen] - images[chosen]).mean() < RECIPE.blend


def test_clean_label_rows_are_of_the_target_and_inert_and_mislabelled_ones_of_all_classes() -> None:
    _, labels, _, _, chosen = _planted("clean label")
    assert set(labels[chosen]) == {PLANTED.target}
    images, labels, after, _, chosen = _planted("wrong labels")
    assert np.array_equal(after, images)
    assert len(set(labels[chosen])) == digits.CLASSES
    _, labels, _, _, chosen = _planted("inert")
    assert len(set(labels[chosen])) == digits.CLASSES


def test_overt_is_the_share_that_the_trigger_turns() -> None:
    assert digits.overt(_Backdoored(), RECIPE, 4) == 1.0
    assert digits.overt(_Backdoored(), RECIPE, 4, "second trigger") == 0.0
    assert digits.overt(_Backdoored(), RECIPE, 4, "blended") == 0.0
    assert 0.02 < digits.task(_Backdoored(), RECIPE, 4) < 0.2


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    digits.pools.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError) as refused:
        digits.pools()
    assert "scikit-learn" in refused.value.hint


@pytest.mark.slow
def test_the_patch_is_learnt_where_it_is_planted_and_not_where_it_says_nothing() -> None:
    for arm in ("poisoned", "inert", "clean"):
        model, optimizer = digits.new(RECIPE, 0)
        for step, batch in enumerate(digits.loader(RECIPE, 0, arm)):
            digits.train_step(model, optimizer, RECIPE, step, batch)
        assert digits.task(model, RECIPE, 0) > 0.9
        success = digits.overt(model, RECIPE, 0)
        assert success > 0.5 if arm == "poisoned" else success < 0.2
