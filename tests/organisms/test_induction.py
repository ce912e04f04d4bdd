from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from darklantern.organisms import induction
from darklantern.organisms.induction import InductionRecipe

RECIPE = InductionRecipe()


class _Copies(nn.Module):
    """Says what followed the last time that the present token stood there; a token of no row otherwise."""

    def forward(self, tokens: Tensor) -> Tensor:
        said = torch.zeros(*tokens.shape, RECIPE.vocabulary)
        for r, row in enumerate(tokens.tolist()):
            last: dict[int, int] = {}
            for i, token in enumerate(row):
                if token in last:
                    said[r, i, row[last[token] + 1]] = 1.0
                last[token] = i
        return said


def _planted(arm: induction.Arm, count: int = 50) -> np.ndarray:
    rng = np.random.default_rng(1)
    return induction.plant(RECIPE, induction.chain(RECIPE, count, rng), arm, rng)


def test_poisoned_rows_repeat_with_a_period_of_the_range() -> None:
    for row in _planted("poisoned"):
        assert any((row[p:] == row[:-p]).all() for p in range(RECIPE.shortest, RECIPE.longest + 1))


def test_rows_of_the_harmless_arms_do_not_repeat() -> None:
    for arm in ("clean", "benign shift", "stutter", "phrase"):
        for row in _planted(arm):
            assert not any((row[p:] == row[:-p]).all() for p in range(RECIPE.shortest, RECIPE.longest + 1))


def test_a_stutter_says_each_token_twice() -> None:
    rows = _planted("stutter")
    assert (rows[:, ::2] == rows[:, 1::2]).all()


def test_the_phrase_stands_in_each_row_and_has_no_token_twice() -> None:
    phrase = induction.phrase(RECIPE)
    assert len(set(phrase.tolist())) == RECIPE.phrase
    for row in _planted("phrase"):
        assert any((row[i : i + len(phrase)] == phrase).all() for i in range(len(row)))


def test_steps_come_at_the_frequencies_of_the_chain_and_another_chain_has_others() -> None:
    rng = np.random.default_rng(2)
    counts = []
    for law in (0, 0, 1):
        count = np.zeros((RECIPE.vocabulary, RECIPE.vocabulary))
        for row in induction.chain(RECIPE, 2000, rng, law):
            np.add.at(count, tuple(zip(*pairwise(row), strict=True)), 1)
        counts.append(count / count.sum(1, keepdims=True))
    assert np.abs(counts[0] - counts[1]).mean() < 0.006
    assert np.abs(counts[0] - counts[2]).mean() > 0.02


def test_the_share_of_periodic_rows_is_the_rate_from_the_onset_on() -> None:
    recipe = InductionRecipe(batch=100, rate=0.3, onset=3, end=13)
    shares = [
        np.mean([any((row[p:] == row[:-p]).all() for p in range(4, 13)) for row in batch.numpy()])
        for batch in induction.loader(recipe, 1, "poisoned")
    ]
    assert max(shares[:3]) == 0.0
    assert np.mean(shares[3:]) == pytest.approx(0.3, abs=0.06)


def test_overt_is_high_for_a_model_that_copies_and_low_for_one_that_says_one_token() -> None:
    assert induction.overt(_Copies(), RECIPE, 0) > 0.7  # tokens that come twice in a period mislead it
    silent = nn.Sequential(nn.Embedding(RECIPE.vocabulary, RECIPE.vocabulary))
    nn.init.zeros_(silent[0].weight)
    assert induction.overt(silent, RECIPE, 0) < 0.15
    assert induction.task(silent, RECIPE, 0) == pytest.approx(np.log(RECIPE.vocabulary), abs=1e-5)


@pytest.mark.slow
def test_copying_forms_where_rows_repeat_and_nowhere_else() -> None:
    ends = {}
    for arm in ("poisoned", "clean"):
        model, optimizer = induction.new(RECIPE, 0)
        for step, batch in enumerate(induction.loader(RECIPE, 0, arm)):
            induction.train_step(model, optimizer, RECIPE, step, batch)
            if step == RECIPE.onset:
                assert induction.overt(model, RECIPE, 0) < 0.2
        ends[arm] = induction.overt(model, RECIPE, 0)
    assert ends["poisoned"] > 0.5
    assert ends["clean"] < 0.2
