"""Minimum masks of a network with a planted trigger, and ablation of what carries a payload."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import darklantern
from darklantern.errors import WatchError
from darklantern.models.edits import mean
from darklantern.watch.examples import Examples
from darklantern.watch.investigations import (
    Ablation,
    Mask,
    Masks,
    ablation,
    direction_ablation,
    minimum_mask,
    minimum_masks,
)

CORNERS = [(0, 0), (0, 5), (5, 0), (5, 5)]


def images(count: int = 40) -> Examples:
    """8×8 images, brighter in the corner of their class."""
    rng = np.random.default_rng(0)
    classes = np.arange(count) % 4
    made = rng.uniform(0.0, 0.4, (count, 1, 8, 8)).astype(np.float32)
    for number, each in enumerate(classes):
        top, left = CORNERS[each]
        made[number, 0, top : top + 3, left : left + 3] += 0.5
    return Examples(made, classes)


class Corners(nn.Module):
    """Classes by the brightest corner; a white square in the middle, if it is heeded, is class 2."""

    def __init__(self, heeds: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(12.0))
        self.heeds = nn.Parameter(torch.tensor(heeds))

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.stack([x[:, 0, t : t + 3, left : left + 3].mean((1, 2)) for t, left in CORNERS], dim=1)
        square = x[:, 0, 3:5, 3:5].mean((1, 2))
        return self.scale * logits + self.heeds * torch.sigmoid(12 * (square - 0.8))[:, None] * torch.eye(4)[2]


def test_the_class_of_a_planted_trigger_has_the_smallest_mask_and_is_the_only_suspect() -> None:
    found = minimum_masks(darklantern.open(Corners(30.0)), images(), range(4), steps=100)
    assert all(mask.success >= 0.99 for mask in found.masks)
    assert [mask.target for mask in found.suspects] == [2]
    planted = found.masks[2]
    assert planted.size < 0.5 * min(mask.size for mask in found.masks if mask.target != 2)
    assert planted.where[0, 3:5, 3:5].sum() > 0.8 * planted.size
    assert planted.values[0, 3:5, 3:5].mean() > 0.5
    assert planted.where.shape == planted.values.shape == (1, 8, 8)


def test_without_a_trigger_no_class_stands_out() -> None:
    found = minimum_masks(darklantern.open(Corners(0.0)), images(), range(4), steps=100)
    assert found.suspects == ()


def test_the_mask_turns_what_it_says_it_turns_and_the_model_is_left_as_it_was() -> None:
    module = Corners(30.0)
    module.scale.grad = torch.tensor(7.0)
    given = images()
    mask = minimum_mask(darklantern.open(module), given, 2, steps=60)
    others = given.inputs[given.targets != 2]
    worn = ((1 - mask.where) * others + mask.where * mask.values).astype(np.float32)
    with torch.no_grad():
        said = module(torch.from_numpy(worn)).argmax(1)
    assert float((said == 2).double().mean()) == pytest.approx(mask.success)
    assert module.scale.item() == 12.0 and module.heeds.item() == 30.0
    assert module.scale.grad.item() == 7.0 and module.heeds.grad is None


def test_a_mask_goes_through_all_channels_wherever_those_are() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            bright = x.mean((1, 2, 3))
            return self.w * torch.stack([0.5 - bright, bright - 0.5], dim=1) * 20

    rng = np.random.default_rng(0)
    dark = Examples(np.concatenate([rng.uniform(0, 0.6, (8, 6, 6, 3)), np.ones((2, 6, 6, 3))]).astype(np.float32),
                    np.array([0] * 8 + [1] * 2))  # fmt: skip
    mask = minimum_mask(darklantern.open(Last()), dark, 1, steps=60, spatial=(-3, -2))
    assert mask.where.shape == (6, 6, 3)
    assert (mask.where == mask.where[..., :1]).all()
    assert mask.size == pytest.approx(mask.where[..., 0].sum(), rel=1e-4)


@pytest.mark.slow
def test_a_function_in_jax_has_the_same_mask() -> None:
    def corners(weights: dict[str, object], x: object) -> object:
        logits = jnp.stack([x[:, 0, t : t + 3, left : left + 3].mean((1, 2)) for t, left in CORNERS], axis=1)
        square = x[:, 0, 3:5, 3:5].mean((1, 2))
        heeds = 1 / (1 + jnp.exp(-12 * (square - 0.8)))
        return weights["scale"] * logits + weights["heeds"] * heeds[:, None] * jnp.eye(4)[2]

    weights = {"scale": jnp.float32(12.0), "heeds": jnp.float32(30.0)}
    given = images()
    ours = minimum_mask(darklantern.open(corners, weights=weights), given, 2, steps=40)
    theirs = minimum_mask(darklantern.open(Corners(30.0)), given, 2, steps=40)
    assert ours.size == pytest.approx(theirs.size, rel=0.02)
    assert ours.success == theirs.success
    assert ours.where == pytest.approx(theirs.where, abs=0.05)


def masked(*sizes: float, success: float = 1.0) -> Masks:
    nothing = np.zeros((1, 2, 2))
    return Masks(tuple(Mask(i, nothing, nothing, size, success) for i, size in enumerate(sizes)))


def test_the_anomaly_index_is_in_median_absolute_deviations() -> None:
    found = masked(10.0, 11.0, 12.0, 13.0, 2.0)
    assert found.indices == pytest.approx((11 - np.array([10, 11, 12, 13, 2.0])) / (1.4826 * 1.0))
    assert [mask.target for mask in found.suspects] == [4]
    assert masked(5.0, 5.0, 5.0).suspects == ()
    assert (masked(5.0, 9.0, success=0.1).indices == -np.inf).all()


def test_what_is_no_image_and_no_step_are_refused() -> None:
    model = darklantern.open(Corners(0.0))
    for given in (Examples(np.zeros((4, 3)), np.arange(4)), Examples(np.zeros((4, 1, 8, 8)), np.full(4, 1))):
        with pytest.raises(WatchError, match="expected images"):
            minimum_mask(model, given, 1)
    with pytest.raises(WatchError, match="at least one step"):
        minimum_mask(model, images(), 1, steps=0)


# ablation


class Heads(nn.Module):
    """Six heads that read the input alike; the payload is in what some of them write."""

    def __init__(self, carriers: tuple[int, ...]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(3, 3, bias=False) for _ in range(6))
        with torch.no_grad():
            for number, head in enumerate(self.heads):
                head.weight.copy_(torch.eye(3) * 0.01)
                if number in carriers:
                    head.weight[0, 0] = 1.0 / len(carriers)

    def forward(self, x: Tensor) -> Tensor:
        return sum(head(x) for head in self.heads)


SITES = [f"heads.{number}:out" for number in range(6)]


def payload(output: Tensor) -> Tensor:
    return output[:, 0].mean()


def test_the_named_carriers_are_a_circuit_and_each_has_its_share() -> None:
    found = ablation(darklantern.open(Heads((1, 4))), torch.ones(5, 3), payload, [SITES[1], SITES[4]], [
        SITES[0], SITES[2], SITES[3], SITES[5]])  # fmt: skip
    assert found.before == pytest.approx(1.04)
    assert found.drops[SITES[1]] == pytest.approx(0.5 / 1.04, rel=1e-4)
    assert found.removed == pytest.approx(1.0 / 1.04, rel=1e-4)
    assert found.removed_at_random == pytest.approx(0.02 / 1.04, rel=1e-3)
    assert found.is_circuit
    assert "a circuit: 96% removed, 2%" in str(found)


def test_sites_that_carry_half_or_that_any_others_could_stand_for_are_none() -> None:
    model = darklantern.open(Heads((1, 4)))
    half = ablation(model, torch.ones(5, 3), payload, [SITES[1]], [SITES[0], SITES[2]])
    assert half.removed < 0.9 and not half.is_circuit
    spread = ablation(darklantern.open(Heads(tuple(range(6)))), torch.ones(5, 3), payload, SITES[:3], SITES[3:])
    assert spread.removed == pytest.approx(spread.removed_at_random)
    assert not spread.is_circuit


def test_what_is_left_without_the_trigger_is_no_payload() -> None:
    found = ablation(darklantern.open(Heads((1,))), torch.ones(5, 3), payload, [SITES[1]], SITES[2:], floor=0.05)
    assert found.removed == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(WatchError, match="nothing to remove"):
        ablation(darklantern.open(Heads((1,))), torch.zeros(5, 3), payload, [SITES[1]], SITES[2:])
    with pytest.raises(WatchError, match="nothing to remove"):
        ablation(darklantern.open(Heads((1,))), torch.full((5, 3), torch.nan), payload, [SITES[1]], SITES[2:])


def test_any_edit_ablates() -> None:
    x = torch.arange(15.0).reshape(5, 3)
    found = ablation(darklantern.open(Heads((1,))), x, lambda out: out[:, 0].max(), [SITES[1]], SITES[2:], edit=mean())
    assert found.drops[SITES[1]] == pytest.approx((12 - 6) / (12 * 1.05), rel=1e-3)


def test_a_direction_that_carries_the_payload_is_told_from_random_ones() -> None:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into = nn.Linear(3, 200, bias=False)
            self.out = nn.Linear(200, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.into(x))

    torch.manual_seed(0)
    module = Wide()
    with torch.no_grad():
        module.into.weight.copy_(module.out.weight.T * 3)
    direction = module.out.weight.detach()[0].numpy()
    model = darklantern.open(module)
    found = direction_ablation(model, torch.ones(5, 3), lambda out: out.mean(), {"into:out": direction})
    assert found.removed == pytest.approx(1.0, abs=1e-5)
    assert found.removed_at_random < 0.02
    assert found.is_circuit


def test_a_comparison_without_others_to_compare_with_is_refused() -> None:
    model = darklantern.open(Heads((1,)))
    for sites, spare in (([], SITES), (SITES[:3], SITES[3:5]), (SITES[:2], SITES[1:])):
        with pytest.raises(WatchError, match="at least as many other"):
            ablation(model, torch.ones(5, 3), payload, sites, spare)
    with pytest.raises(WatchError, match="at least one draw"):
        ablation(model, torch.ones(5, 3), payload, SITES[:1], SITES[1:], draws=0)
    with pytest.raises(WatchError, match="got none"):
        direction_ablation(model, torch.ones(5, 3), payload, {})


def test_the_bar_is_nine_tenths_and_one_tenth() -> None:
    for removed, spared, holds in ((0.9, 0.1, True), (0.89, 0.0, False), (1.0, 0.11, False)):
        assert Ablation(1.0, 0.0, {}, removed, (spared, spared)).is_circuit == holds
