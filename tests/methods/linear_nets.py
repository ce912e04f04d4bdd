"""A linear network of three layers, `v`, `up` and `down`, with a fixed attention pattern, in each framework.

No norm, no nonlinearity: the gradient at a value is the exact effect of any change there. Weights are input × output.
"""

from typing import Any

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import linen, nnx
from frameworks import Engine, Numbers, normal
from torch import Tensor, nn

from darklantern import models
from darklantern.models.opened import Model

SIZES = {"v": (6, 6), "up": (6, 8), "down": (8, 6)}
LAYERS, POSITIONS, DIM = 3, 5, 6
KERNELS = [
    {part: normal(*size, seed=10 * layer + number) / 3 for number, (part, size) in enumerate(SIZES.items())}
    for layer in range(LAYERS)
]
FIXED = torch.from_numpy(normal(POSITIONS, POSITIONS, seed=3)).tril().softmax(-1).numpy()


def opened(engine: Engine) -> Model:
    """The network in a framework, opened. Equinox scans over its layers."""
    example = engine.array(normal(1, POSITIONS, DIM, seed=0))
    make = {"torch": of_torch, "linen": of_linen, "nnx": of_nnx, "equinox": of_equinox, "haiku": of_haiku}
    module, more = make[engine.name]()
    return models.open(module, **more, **({} if engine.name == "torch" else {"example": example}))


class Torch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleDict({part: nn.Linear(*size, bias=False) for part, size in SIZES.items()}) for _ in range(LAYERS)
        )
        self.register_buffer("fixed", torch.from_numpy(FIXED))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + self.fixed @ layer["v"](x)
            x = x + layer["down"](layer["up"](x))
        return x


def of_torch() -> tuple[Any, dict[str, Any]]:
    net = Torch().double()
    for layer, kernels in zip(net.layers, KERNELS, strict=True):
        for part, kernel in kernels.items():
            layer[part].weight.data = torch.from_numpy(kernel.T.copy())
    return net, {}


class LinenLayer(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        v, up, down = (linen.Dense(size[1], use_bias=False, name=part) for part, size in SIZES.items())
        x = x + FIXED @ v(x)
        return x + down(up(x))


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        for number in range(LAYERS):
            x = LinenLayer(name=f"layers_{number}")(x)
        return x


def of_linen() -> tuple[Any, dict[str, Any]]:
    params = {
        f"layers_{number}": {part: {"kernel": jnp.array(kernel)} for part, kernel in kernels.items()}
        for number, kernels in enumerate(KERNELS)
    }
    return Linen(), {"weights": {"params": params}}


class NnxLayer(nnx.Module):
    def __init__(self, kernels: dict[str, Numbers]) -> None:
        for part, size in SIZES.items():
            linear = nnx.Linear(*size, use_bias=False, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
            linear.kernel[...] = jnp.array(kernels[part])
            setattr(self, part, linear)

    def __call__(self, x: Any) -> Any:
        x = x + FIXED @ self.v(x)
        return x + self.down(self.up(x))


class Nnx(nnx.Module):
    def __init__(self) -> None:
        self.layers = nnx.List(NnxLayer(kernels) for kernels in KERNELS)

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


def of_nnx() -> tuple[Any, dict[str, Any]]:
    return Nnx(), {}


class EquinoxLayer(eqx.Module):
    v: eqx.nn.Linear
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __call__(self, x: Any) -> Any:
        x = x + FIXED @ jax.vmap(self.v)(x)
        return x + jax.vmap(self.down)(jax.vmap(self.up)(x))


class Equinox(eqx.Module):
    """`layers` is one layer whose arrays have a first axis `layer`."""

    layers: EquinoxLayer

    def __call__(self, x: Any) -> Any:
        arrays, rest = eqx.partition(self.layers, eqx.is_array)
        return jax.lax.scan(lambda x, layer: (eqx.combine(layer, rest)(x), None), x, arrays)[0]


def of_equinox() -> tuple[Any, dict[str, Any]]:
    def linear(part: str) -> eqx.nn.Linear:
        made = eqx.nn.Linear(*SIZES[part], use_bias=False, key=jax.random.key(0))
        stacked = np.stack([kernels[part].T for kernels in KERNELS])
        return eqx.tree_at(lambda each: each.weight, made, jnp.array(stacked))

    return Equinox(EquinoxLayer(*map(linear, SIZES))), {"call": lambda net, x: jax.vmap(net)(x)}


class HaikuLayer(hk.Module):
    def __call__(self, x: Any) -> Any:
        v, up, down = (hk.Linear(size[1], with_bias=False, name=part) for part, size in SIZES.items())
        x = x + FIXED @ v(x)
        return x + down(up(x))


def of_haiku() -> tuple[Any, dict[str, Any]]:
    def net(x: Any) -> Any:
        for number in range(LAYERS):
            x = HaikuLayer(name=f"layers_{number}")(x)
        return x

    params = {
        f"layers_{number}/{part}": {"w": jnp.array(kernel)}
        for number, kernels in enumerate(KERNELS)
        for part, kernel in kernels.items()
    }
    return hk.transform(net), {"weights": params}
