"""The convolutional network in flax.linen: channels last, BatchNorm on running statistics in a collection of their own.

ReLU, tanh and pooling are functions. Before the last Dense an image is flattened with its channels innermost, where
torch has them outermost: the converter turns that weight, and `fc:in` stands in another order.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from numpy.typing import DTypeLike
from torch import nn as torch_nn

from . import weights as of
from .twin import Array as NumpyArray
from .twin import Built, Twin

CHANNELS = 6


def norm() -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=True, epsilon=1e-5)


class ResidualBlock(nn.Module):
    """conv, norm, ReLU, conv, norm, plus the input, ReLU."""

    def setup(self) -> None:
        self.conv1 = nn.Conv(CHANNELS, (3, 3), use_bias=False)  # padding SAME is linen's default
        self.conv2 = nn.Conv(CHANNELS, (3, 3), use_bias=False)
        self.bn1, self.bn2 = norm(), norm()

    def __call__(self, x: Array) -> Array:
        y = nn.relu(self.bn1(self.conv1(x)))
        return nn.relu(self.bn2(self.conv2(y)) + x)


class ConvNet(nn.Module):
    """Images of 8 × 8 × 3 to 5 logits; `mix` is called twice."""

    def setup(self) -> None:
        self.conv, self.bn = nn.Conv(CHANNELS, (3, 3), padding=1), norm()
        self.block = ResidualBlock()
        self.mix = nn.Conv(CHANNELS, (1, 1))
        self.fc = nn.Dense(5)

    def __call__(self, images: Array) -> Array:
        x = self.block(nn.relu(self.bn(self.conv(images))))
        x = self.mix(jnp.tanh(self.mix(x)))
        x = nn.avg_pool(x, (4, 4), strides=(4, 4))
        return self.fc(x.reshape(len(x), -1))


def build(model: torch_nn.Module, dtype: DTypeLike) -> Built:
    w = of.cnn(model, dtype)
    block, fc = w["block"], w["fc"]
    turned = fc["weight"].reshape(CHANNELS, 2, 2, -1).transpose(1, 2, 0, 3).reshape(fc["weight"].shape)
    params = {
        "conv": convolution(w["conv"]),
        "bn": affine(w["bn"]),
        "block": {name: convolution(block[name]) for name in ("conv1", "conv2")}
        | {name: affine(block[name]) for name in ("bn1", "bn2")},
        "mix": convolution(w["mix"]),
        "fc": {"kernel": turned, "bias": fc["bias"]},
    }
    running = {"bn": statistics(w["bn"]), "block": {name: statistics(block[name]) for name in ("bn1", "bn2")}}
    return Built(ConvNet(), {"params": params, "batch_stats": running})


def convolution(w: of.Weights) -> dict[str, Array]:
    """Kernels `height width input output`."""
    kernel = {"kernel": w["weight"].transpose(2, 3, 1, 0)}
    return kernel | {"bias": w["bias"]} if "bias" in w else kernel


def affine(w: of.Weights) -> dict[str, Array]:
    return {"scale": w["weight"], "bias": w["bias"]}


def statistics(w: of.Weights) -> dict[str, Array]:
    return {"mean": w["mean"], "var": w["variance"]}


def channels_last(images: NumpyArray) -> NumpyArray:
    """From `batch channel height width` to `batch height width channel`."""
    return images.transpose(0, 2, 3, 1)


def flat_channels_last(rows: NumpyArray) -> NumpyArray:
    """Flattened images of 6 × 2 × 2, from channels outermost to innermost."""
    return channels_last(rows.reshape(-1, CHANNELS, 2, 2)).reshape(rows.shape)


LACKS: tuple[tuple[str, str], ...] = (
    (r"(block\.)?relu(#\d)?:.*", "ReLU is a function in the model's own code: no part stands for it"),
    (r"pool:.*", "pooling is a function in the model's own code: no part stands for it"),
)
LAYOUT: tuple[tuple[str, Any], ...] = (
    (r"fc:in", flat_channels_last),
    (r"input|(conv|bn|block|mix)[^:]*:.*", channels_last),
)
TWINS = (Twin("cnn-linen", "cnn", "linen", build, lacks=LACKS, layout=LAYOUT),)
