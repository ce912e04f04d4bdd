"""A net that hands on what it is given, so that what is planted in its inputs is what its site `inner:out` holds."""

from typing import Any

import jax.numpy as jnp
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

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * 2


class Inner(linen.Module):
    def __call__(self, x: Any) -> Any:
        return x + 0


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return Inner(name="inner")(x) * 2


def opened(engine: Engine, example: Numbers) -> Model:
    if engine.name == "torch":
        return models.open(Torch())
    return models.open(Linen(), weights={"params": {}}, example=jnp.asarray(example))
