"""A net that hands on what it is given, so that what is planted in its inputs is what its site `inner:out` holds."""

from typing import Any

import jax.numpy as jnp
import torch
from flax import linen
from frameworks import Engine, Numbers
from torch import Tensor, nn

from darklantern import models
from darklantern.models.opened import Model

SITE = "inner:out"


class Torch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()
        self.factor = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.factor


class Inner(linen.Module):
    def __call__(self, x: Any) -> Any:
        return x + 0


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        factor = self.param("factor", linen.initializers.constant(2.0), ())
        return Inner(name="inner")(x) * factor


def opened(engine: Engine, example: Numbers) -> Model:
    if engine.name == "torch":
        return models.open(Torch())
    return models.open(Linen(), weights={"params": {"factor": jnp.array(2.0)}}, example=jnp.asarray(example))
