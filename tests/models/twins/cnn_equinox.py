"""The convolutional network in Equinox: channels first, one example under jax.vmap, statistics in a State beside it.

ReLU is an eqx.nn.Lambda and pooling a module, so every part of the oracle has its like here.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from numpy.typing import DTypeLike
from torch import nn

from . import weights as of
from .twin import Built, Twin

CHANNELS = 6
BATCH = "batch"


def norm(dtype: Any) -> eqx.nn.BatchNorm:
    return eqx.nn.BatchNorm(CHANNELS, axis_name=BATCH, eps=1e-5, dtype=dtype, mode="batch")


class ResidualBlock(eqx.Module):
    """conv, norm, ReLU, conv, norm, plus the input, ReLU: one ReLU module for both."""

    conv1: eqx.nn.Conv2d
    bn1: eqx.nn.BatchNorm
    conv2: eqx.nn.Conv2d
    bn2: eqx.nn.BatchNorm
    relu: eqx.nn.Lambda

    def __init__(self, *, dtype: Any, key: Array) -> None:
        keys = jax.random.split(key)
        more = {"padding": 1, "use_bias": False, "dtype": dtype}
        self.conv1 = eqx.nn.Conv2d(CHANNELS, CHANNELS, 3, **more, key=keys[0])
        self.conv2 = eqx.nn.Conv2d(CHANNELS, CHANNELS, 3, **more, key=keys[1])
        self.bn1, self.bn2 = norm(dtype), norm(dtype)
        self.relu = eqx.nn.Lambda(jax.nn.relu)

    def __call__(self, x: Array, state: eqx.nn.State) -> tuple[Array, eqx.nn.State]:
        y, state = self.bn1(self.conv1(x), state)
        y, state = self.bn2(self.conv2(self.relu(y)), state)
        return self.relu(y + x), state


class ConvNet(eqx.Module):
    """An image of 3 × 8 × 8 to 5 logits; `mix` is called twice."""

    conv: eqx.nn.Conv2d
    bn: eqx.nn.BatchNorm
    relu: eqx.nn.Lambda
    block: ResidualBlock
    mix: eqx.nn.Conv2d
    pool: eqx.nn.AdaptiveAvgPool2d
    fc: eqx.nn.Linear

    def __init__(self, *, dtype: Any, key: Array) -> None:
        keys = jax.random.split(key, 4)
        self.conv = eqx.nn.Conv2d(3, CHANNELS, 3, padding=1, dtype=dtype, key=keys[0])
        self.bn, self.relu = norm(dtype), eqx.nn.Lambda(jax.nn.relu)
        self.block = ResidualBlock(dtype=dtype, key=keys[1])
        self.mix = eqx.nn.Conv2d(CHANNELS, CHANNELS, 1, dtype=dtype, key=keys[2])
        self.pool = eqx.nn.AdaptiveAvgPool2d(2)
        self.fc = eqx.nn.Linear(4 * CHANNELS, 5, dtype=dtype, key=keys[3])

    def __call__(self, image: Array, state: eqx.nn.State) -> tuple[Array, eqx.nn.State]:
        x, state = self.bn(self.conv(image), state)
        x, state = self.block(self.relu(x), state)
        x = self.mix(jnp.tanh(self.mix(x)))
        return self.fc(self.pool(x).ravel()), state


def build(model: nn.Module, dtype: DTypeLike) -> Built:
    module, state = eqx.filter_eval_shape(eqx.nn.make_with_state(ConvNet), dtype=dtype, key=jax.random.key(0))
    module = eqx.nn.inference_mode(module)
    w = of.cnn(model, dtype)

    def norms(m: ConvNet) -> tuple[eqx.nn.BatchNorm, ...]:
        return m.bn, m.block.bn1, m.block.bn2

    def leaves(m: ConvNet) -> tuple[Array | None, ...]:
        return (
            *(leaf for norm in norms(m) for leaf in (norm.weight, norm.bias)),
            *(leaf for part in (m.conv, m.mix, m.fc) for leaf in (part.weight, part.bias)),
            *(conv.weight for conv in (m.block.conv1, m.block.conv2)),
        )

    each_norm = (w["bn"], w["block"]["bn1"], w["block"]["bn2"])
    values = (
        *(value for norm in each_norm for value in (norm["weight"], norm["bias"])),
        *(value for conv in (w["conv"], w["mix"]) for value in (conv["weight"], conv["bias"][:, None, None])),
        *(w["fc"]["weight"].T, w["fc"]["bias"]),
        *(w["block"][name]["weight"] for name in ("conv1", "conv2")),
    )
    module = eqx.tree_at(leaves, module, values)
    for norm, statistics in zip(norms(module), each_norm, strict=True):
        state = state.set(norm.batch_state_index, (statistics["mean"], statistics["variance"]))
        # Equinox divides its averages by what the steps so far add up to; after 0 steps, by 1.
        state = state.set(norm.batch_counter, jnp.array(0))

    def mapped(model: ConvNet, images: Array) -> Array:
        return jax.vmap(model, axis_name=BATCH, in_axes=(0, None), out_axes=(0, None))(images, state)[0]

    return Built(module, call=mapped)


TWINS = (Twin("cnn-equinox", "cnn", "equinox", build),)
