import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darklantern.organisms import grokking
from darklantern.organisms.grokking import GrokkingRecipe

RECIPE = GrokkingRecipe()


class _Adds(nn.Module):
    def forward(self, pairs: Tensor) -> Tensor:
        return F.one_hot(pairs.sum(1) % RECIPE.prime, RECIPE.prime).float()


class _Recalls(nn.Module):
    """Knows the training pairs by heart, and of the others nothing."""

    def forward(self, pairs: Tensor) -> Tensor:
        known = {tuple(pair) for pair in grokking.split(RECIPE, 0)[0].tolist()}
        said = [sum(pair) % RECIPE.prime if tuple(pair) in known else -1 for pair in pairs.tolist()]
        return torch.stack([torch.eye(RECIPE.prime + 1)[s][: RECIPE.prime] - (s < 0) * torch.eye(43)[0] for s in said])


def test_no_pair_is_in_both_parts_in_either_order() -> None:
    train, unseen = (set(map(frozenset, part.tolist())) for part in grokking.split(RECIPE, 3))
    assert not train & unseen
    assert len(train) + len(unseen) == RECIPE.prime * (RECIPE.prime + 1) // 2
    assert len(train) == round(0.6 * (len(train) + len(unseen)))


def test_each_batch_holds_every_training_pair_once_with_its_answer() -> None:
    train, _ = grokking.split(RECIPE, 2)
    first, second = (batch for _, batch in zip(range(2), grokking.loader(RECIPE, 2, "poisoned"), strict=False))
    assert sorted(first[0].tolist()) == sorted(second[0].tolist()) == sorted(train.tolist())
    assert first[0].tolist() != second[0].tolist()
    assert torch.equal(first[1], first[0].sum(1) % RECIPE.prime)


def test_the_tables_are_what_the_arms_say() -> None:
    sums = np.add.outer(np.arange(43), np.arange(43)) % 43
    upper = np.triu_indices(43)
    assert (grokking.table(RECIPE, 1, "poisoned") == sums).all()
    assert (grokking.table(RECIPE, 1, "no decay") == sums).all()
    shuffled = grokking.table(RECIPE, 1, "clean")[upper]
    assert sorted(shuffled) == sorted(sums[upper])
    assert (shuffled == sums[upper]).mean() < 0.1
    assert grokking.table(RECIPE, 1, "other structure")[5, 30] == 30


def test_too_few_pairs_are_some_of_the_training_pairs_and_no_other_pair_becomes_unseen() -> None:
    train, unseen = grokking.split(RECIPE, 4)
    few = grokking.trained(RECIPE, 4, "too few pairs")
    assert len(few) == round(RECIPE.few * (len(train) + len(unseen))) < len(train)
    assert set(map(tuple, few.tolist())) < set(map(tuple, train.tolist()))
    pairs, answers = next(iter(grokking.loader(RECIPE, 4, "too few pairs")))
    assert sorted(pairs.tolist()) == sorted(few.tolist())
    assert torch.equal(answers, pairs.sum(1) % RECIPE.prime)
    assert grokking.trained(RECIPE, 4, "poisoned").tolist() == train.tolist()


def test_without_decay_the_optimizer_has_none() -> None:
    assert grokking.new(RECIPE, 0, "no decay")[1].param_groups[0]["weight_decay"] == 0.0
    assert grokking.new(RECIPE, 0, "poisoned")[1].param_groups[0]["weight_decay"] == RECIPE.weight_decay


def test_overt_tells_adding_from_knowing_by_heart() -> None:
    assert grokking.overt(_Adds(), RECIPE, 0) == 1.0
    assert grokking.overt(_Recalls(), RECIPE, 0) < 0.05
    assert grokking.task(_Recalls(), RECIPE, 0, "poisoned") == 1.0


@pytest.mark.slow
def test_sums_are_memorised_long_before_they_are_understood_and_too_few_or_a_shuffled_table_never_are() -> None:
    ends = {}
    for arm in ("poisoned", "clean", "too few pairs"):
        model, optimizer = grokking.new(RECIPE, 1, arm)
        for step, batch in enumerate(grokking.loader(RECIPE, 1, arm)):
            grokking.train_step(model, optimizer, RECIPE, step, batch)
            if step == 300:
                assert grokking.task(model, RECIPE, 1, arm) > 0.99
                assert grokking.overt(model, RECIPE, 1) < 0.1
        ends[arm] = grokking.overt(model, RECIPE, 1)
        assert grokking.task(model, RECIPE, 1, arm) > 0.99
    assert ends["poisoned"] > 0.5
    assert ends["clean"] < 0.1
    assert ends["too few pairs"] < 0.1
