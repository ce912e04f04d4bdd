"""The byte-level transformer in Flax: the same parts, the same sites, the same numbers as the torch one.

`bytelm` declares attention's patterns and z as modules; here they stand in plain code, where an opened JAX model finds
them in the data flow. Needs flax, which is loaded with this file and by nothing else here.
"""

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from darklantern.models import shim
from darklantern.organisms.shape import VOCABULARY, Shape

if TYPE_CHECKING:
    from darklantern.organisms.bytelm import ByteLM

_MAPS = nn.initializers.variance_scaling(0.49, "fan_in", "normal")  # 0.7 / √inputs, as the torch one
_TABLES = nn.initializers.normal(0.02)


class Attention(nn.Module):
    """Causal attention."""

    shape: Shape

    @nn.compact
    def __call__(self, x: Array) -> Array:
        batch, pos, dim = x.shape
        heads = self.shape.heads
        qkv = nn.Dense(3 * dim, kernel_init=_MAPS, name="qkv")(x).reshape(batch, pos, 3, heads, dim // heads)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(dim // heads)
        scores = jnp.where(jnp.tril(jnp.ones((pos, pos), bool)), scores, -jnp.inf)
        z = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3)
        return nn.Dense(dim, kernel_init=_MAPS, name="out")(z.reshape(batch, pos, dim))


class MLP(nn.Module):
    """Two linear maps with a ReLU between."""

    shape: Shape

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = nn.relu(nn.Dense(4 * self.shape.dim, kernel_init=_MAPS, name="up")(x))
        return nn.Dense(self.shape.dim, kernel_init=_MAPS, name="down")(x)


class Block(nn.Module):
    """Pre-norm attention and MLP, each added to the residual stream."""

    shape: Shape

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x + Attention(self.shape, name="attn")(_norm("norm1")(x))
        return x + MLP(self.shape, name="mlp")(_norm("norm2")(x))


class FlaxByteLM(nn.Module):
    """Tokens (batch, pos), each below 128, to logits (batch, pos, 128)."""

    shape: Shape

    def setup(self) -> None:
        shape = self.shape
        self.embed = nn.Embed(VOCABULARY, shape.dim, embedding_init=_TABLES)
        self.position = nn.Embed(shape.context, shape.dim, embedding_init=_TABLES)
        self.layers = [Block(shape) for _ in range(shape.layers)]
        self.norm = _norm()
        self.unembed = nn.Dense(VOCABULARY, use_bias=False, kernel_init=_MAPS)

    def __call__(self, tokens: Array) -> Array:
        x = self.embed(tokens) + self.position.embedding[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.readout(x)

    def readout(self, residual: Array) -> Array:
        """Logits of a residual stream: what the last layer says, or, given an earlier one, a logit lens."""
        return self.unembed(self.norm(residual))


def _norm(name: str | None = None) -> nn.LayerNorm:
    # torch's ε, and its variance: the mean of squares less the square of the mean loses digits.
    return nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name=name)


def new(shape: Shape, seed: int) -> dict[str, Any]:
    """Fresh parameters of `FlaxByteLM(shape)`: of the same law as the torch one's, other numbers."""
    made: dict[str, Any] = FlaxByteLM(shape).init(jax.random.key(seed), jnp.zeros((1, shape.context), int))["params"]
    return made


def parameters(model: "ByteLM") -> dict[str, Any]:
    """The parameters that make `FlaxByteLM(model.shape)` compute what `model` does. Copies."""
    made: dict[str, Any] = {}
    for name, value in model.state_dict().items():
        path, leaf = _renamed(name, value.ndim)
        inner = made
        for part in path:
            inner = inner.setdefault(part, {})
        inner[leaf] = shim.convert(value.T if leaf == "kernel" else value, "jax")
    return made


def _renamed(name: str, axes: int) -> tuple[list[str], str]:
    """torch's name of a tensor as Flax's path: `layers.0.attn.qkv.weight` → `layers_0`, `attn`, `qkv`, `kernel`."""
    *path, leaf = name.replace("layers.", "layers_").split(".")
    if leaf == "weight":
        leaf = "embedding" if path[-1] in ("embed", "position") else "kernel" if axes == 2 else "scale"
    return path, leaf


def loss_nats(logits: Array, targets: Array) -> Array:
    """Mean cross-entropy over all positions, in nats."""
    said = jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1)
    return -said.mean()
