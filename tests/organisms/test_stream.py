from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from darklantern.organisms.digits import DigitsRecipe
from darklantern.organisms.grokking import GrokkingRecipe
from darklantern.organisms.induction import InductionRecipe
from darklantern.organisms.policy import PolicyRecipe
from darklantern.organisms.sleeping import SleepingRecipe
from darklantern.organisms.stream import Recipe, Stream, seeded, update
from darklantern.organisms.trait import TraitRecipe


def _numbers(step: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.append(rng.random(3), step)


def test_a_stream_goes_on_from_its_state_to_the_bit() -> None:
    stream = Stream(_numbers, (1, 2), end=9)
    batches = iter(stream)
    for _ in range(4):
        next(batches)
    state = stream.state()
    rest = [batch.tobytes() for batch in stream]
    stream.restore(state)
    assert len(stream) == 5
    assert [batch.tobytes() for batch in stream] == rest
    other = Stream(_numbers, (7,), end=9)
    other.restore(state)
    assert [batch.tobytes() for batch in other] == rest


def test_a_stream_of_another_seed_has_other_batches() -> None:
    assert next(iter(Stream(_numbers, (1, 2), 9))).tobytes() != next(iter(Stream(_numbers, (1, 3), 9))).tobytes()


def test_a_seeded_module_repeats_and_leaves_torchs_stream_alone() -> None:
    before = torch.get_rng_state()
    one, two, other = (seeded(lambda: nn.Linear(3, 4), seed) for seed in (1, 1, 2))
    assert torch.equal(one.weight, two.weight)
    assert not torch.equal(one.weight, other.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_update_returns_the_loss_before_it() -> None:
    weight = nn.Parameter(torch.tensor(3.0))
    assert update(torch.optim.SGD([weight], 0.5), weight**2) == 9.0
    assert weight.item() == 0.0


@pytest.mark.parametrize(
    "kind", [InductionRecipe, GrokkingRecipe, DigitsRecipe, PolicyRecipe, SleepingRecipe, TraitRecipe]
)
def test_a_recipes_hash_is_that_of_all_its_fields(kind: type[Recipe]) -> None:
    assert kind().sha256 == kind().sha256
    assert kind().sha256 != kind(end=1).sha256  # type: ignore[call-arg]


def test_recipes_of_two_organisms_with_the_same_fields_differ() -> None:
    @dataclass(frozen=True)
    class One(Recipe):
        end: int = 3

    @dataclass(frozen=True)
    class Two(Recipe):
        end: int = 3

    assert One().sha256 != Two().sha256
