"""Ground truth G6, the pentagon: five sparse features in two dimensions, trained here from a seed."""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from frameworks import Engine, Numbers, engine, engines
from torch import Tensor, nn

import darklantern as dl
from darklantern.errors import MethodError
from darklantern.methods.directions import dimensionality, superposition
from darklantern.models.opened import Model

__all__ = ["engine"]
FEATURES, DIM, ON = 5, 2, 0.05


class Toy(nn.Module):
    """relu(WᵀW x + b), the model of Elhage et al. 2022."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.down = nn.Linear(FEATURES, DIM, bias=False)
        self.down.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.down(x) @ self.down.weight + self.bias)


@cache
@torch.enable_grad()
def trained() -> tuple[Numbers, Numbers]:
    """W and b after Adam from the best of some starts: which polygon a run ends in depends on where it began."""
    generator = torch.Generator().manual_seed(0)
    starts = 16
    weight = (torch.randn(starts, DIM, FEATURES, generator=generator) * 0.5).requires_grad_()
    bias = torch.zeros(starts, 1, FEATURES, requires_grad=True)
    steps = 4000
    adam = torch.optim.Adam([weight, bias], lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        x = torch.rand(1, 1024, FEATURES, generator=generator) * (
            torch.rand(1, 1024, FEATURES, generator=generator) < ON
        )
        each = ((torch.relu(x @ weight.mT @ weight + bias) - x) ** 2).mean((1, 2))
        adam.zero_grad()
        each.sum().backward()
        adam.step()
        schedule.step()
    best = int(each.argmin())
    return weight[best].detach().double().numpy(), bias[best, 0].detach().double().numpy()


def opened(engine: Engine) -> Model:
    weight, bias = trained()
    if engine.name == "torch":
        return dl.open(Toy(torch.from_numpy(weight), torch.from_numpy(bias)))

    def toy(weights: Any, x: Any) -> Any:
        with dl.part("down"):
            hidden = dl.tag("out", x @ weights["w"].T)
        return jax.nn.relu(hidden @ weights["w"] + weights["b"])

    weights = {"w": jnp.array(weight), "b": jnp.array(bias)}
    return dl.open(toy, weights=weights, example=jnp.eye(FEATURES))


@engines("torch", "jax")
def test_g6_five_features_in_two_dimensions_make_a_pentagon(engine: Engine, tmp_path: Path) -> None:
    made = superposition(
        opened(engine), engine.array(np.eye(FEATURES)), engine.array(np.zeros((1, FEATURES))), "down:out"
    )
    np.testing.assert_allclose(made.directions, trained()[0].T, atol=1e-12)
    np.testing.assert_allclose(made.dimensionality, 2 / 5, atol=0.02)
    np.testing.assert_allclose(made.norms, made.norms.mean(), rtol=0.05)
    angles = np.sort(np.degrees(np.arctan2(*made.directions.T)))
    np.testing.assert_allclose(np.diff(angles), 72, atol=4)
    assert made.evidence().grids[0].name == "inner products"
    made.show().png(tmp_path / "pentagon.png")


def test_dimensionality_is_that_of_known_polygons() -> None:
    np.testing.assert_allclose(dimensionality(np.eye(3)), 1)
    np.testing.assert_allclose(dimensionality([[1, 0], [-1, 0], [0, 2]]), [0.5, 0.5, 1])
    turns = 2 * np.pi * np.arange(5) / 5
    np.testing.assert_allclose(dimensionality(np.stack([np.cos(turns), np.sin(turns)], 1)), 0.4)
    assert dimensionality([[0, 0], [0, 3]]).tolist() == [0, 1]
    # D adds up to the rank where all features share one length and a tight frame.
    assert dimensionality(np.stack([np.cos(turns), np.sin(turns)], 1)).sum() == pytest.approx(2)
    with pytest.raises(MethodError, match="expected finite directions"):
        dimensionality(np.zeros(3))


def test_what_is_nothing_must_be_one_input() -> None:
    model = dl.open(Toy(*(torch.from_numpy(each) for each in trained())))
    eye = torch.eye(FEATURES, dtype=torch.float64)
    with pytest.raises(MethodError, match="got 5"):
        superposition(model, eye, eye, "down:out")
