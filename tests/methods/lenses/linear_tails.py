"""A language model whose first layer alone is nonlinear: what later layers do to a value there is known in closed form.

Each later layer adds mixed @ x @ weight; `mixed` is a fixed causal pattern over positions. No norm, no bias.
"""

from typing import Any

import jax.numpy as jnp
import torch
from flax import linen
from frameworks import Engine, Numbers, normal
from torch import Tensor, nn

from darklantern import models
from darklantern.models.opened import Model

WORDS, POSITIONS, DIM, LAYERS = 11, 5, 6, 3
EMBED, UNEMBED = normal(WORDS, DIM, seed=1), normal(DIM, WORDS, seed=2)
WEIGHTS = [normal(DIM, DIM, seed=10 + layer) / 3 for layer in range(LAYERS)]
MIXED = torch.from_numpy(normal(POSITIONS, POSITIONS, seed=3)).tril().softmax(-1).tril().numpy()
ALONE = torch.eye(POSITIONS, dtype=torch.float64).numpy()


class TorchLayer(nn.Module):
    def __init__(self, number: int, mixed: Numbers) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(WEIGHTS[number]))
        self.bent = number == 0
        self.register_buffer("mixed", torch.from_numpy(mixed))

    def forward(self, x: Tensor) -> Tensor:
        added = self.mixed @ x @ self.weight
        return x + (added.tanh() if self.bent else added)


class Torch(nn.Module):
    def __init__(self, mixed: Numbers) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, DIM, _weight=torch.from_numpy(EMBED))
        self.layers = nn.ModuleList(TorchLayer(number, mixed) for number in range(LAYERS))
        self.unembed = nn.Linear(DIM, WORDS, bias=False)
        self.unembed.weight = nn.Parameter(torch.from_numpy(UNEMBED.T.copy()))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.unembed(x)


class LinenLayer(linen.Module):
    number: int
    mixed: Any

    @linen.compact
    def __call__(self, x: Any) -> Any:
        added = linen.Dense(DIM, use_bias=False, name="v", param_dtype=jnp.float64)(self.mixed @ x)
        return x + (jnp.tanh(added) if self.number == 0 else added)


class Linen(linen.Module):
    mixed: Any

    @linen.compact
    def __call__(self, tokens: Any) -> Any:
        x = linen.Embed(WORDS, DIM, name="embed", param_dtype=jnp.float64)(tokens)
        for number in range(LAYERS):
            x = LinenLayer(number, self.mixed, name=f"layers_{number}")(x)
        return linen.Dense(WORDS, use_bias=False, name="unembed", param_dtype=jnp.float64)(x)


def opened(engine: Engine, mixed: Numbers, example: Numbers) -> Model:
    if engine.name == "torch":
        return models.open(Torch(mixed).double())
    params = {f"layers_{number}": {"v": {"kernel": jnp.array(each)}} for number, each in enumerate(WEIGHTS)}
    params |= {"embed": {"embedding": jnp.array(EMBED)}, "unembed": {"kernel": jnp.array(UNEMBED)}}
    return models.open(Linen(mixed), weights={"params": params}, example=engine.array(example))
