"""GPT-2 in flax.nnx: blocks in an nnx.List with nnx's own attention, and blocks under nnx.scan with one in jnp."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import DTypeLike
from torch import nn

from . import weights as of
from .twin import Built, Twin

Module = TypeVar("Module", bound=nnx.Module)


class Mlp(nnx.Module):
    """Four times as wide as the model."""

    def __init__(self, dim: int, *, param_dtype: Any, rngs: nnx.Rngs) -> None:
        self.up = nnx.Linear(dim, 4 * dim, param_dtype=param_dtype, rngs=rngs)
        self.down = nnx.Linear(4 * dim, dim, param_dtype=param_dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.down(nnx.gelu(self.up(x)))


class Block(nnx.Module):
    """Pre-norm, nnx's own attention."""

    def __init__(self, dim: int, heads: int, epsilon: float, *, param_dtype: Any, rngs: nnx.Rngs) -> None:
        self.norm1 = nnx.LayerNorm(dim, epsilon=epsilon, param_dtype=param_dtype, rngs=rngs)
        self.attn = nnx.MultiHeadAttention(heads, dim, decode=False, param_dtype=param_dtype, rngs=rngs)
        self.norm2 = nnx.LayerNorm(dim, epsilon=epsilon, param_dtype=param_dtype, rngs=rngs)
        self.mlp = Mlp(dim, param_dtype=param_dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = x + self.attn(self.norm1(x), mask=nnx.make_causal_mask(x[..., 0]))
        return x + self.mlp(self.norm2(x))


class CausalSelfAttention(nnx.Module):
    """One Linear for q, k and v, einsum for the rest."""

    def __init__(self, dim: int, heads: int, *, param_dtype: Any, rngs: nnx.Rngs) -> None:
        self.heads = heads
        self.qkv = nnx.Linear(dim, 3 * dim, param_dtype=param_dtype, rngs=rngs)
        self.proj = nnx.Linear(dim, dim, param_dtype=param_dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        batch, length, dim = x.shape
        q, k, v = (part.reshape(batch, length, self.heads, -1) for part in jnp.split(self.qkv(x), 3, axis=-1))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(dim // self.heads)
        causal = jnp.tril(jnp.ones((length, length), dtype=bool))
        pattern = jax.nn.softmax(jnp.where(causal, scores, jnp.finfo(scores.dtype).min), axis=-1)
        return self.proj(jnp.einsum("bhqk,bkhd->bqhd", pattern, v).reshape(batch, length, dim))


class OwnBlock(nnx.Module):
    """Pre-norm, attention of our own."""

    def __init__(self, dim: int, heads: int, epsilon: float, *, param_dtype: Any, rngs: nnx.Rngs) -> None:
        self.ln_1 = nnx.LayerNorm(dim, epsilon=epsilon, param_dtype=param_dtype, rngs=rngs)
        self.attn = CausalSelfAttention(dim, heads, param_dtype=param_dtype, rngs=rngs)
        self.ln_2 = nnx.LayerNorm(dim, epsilon=epsilon, param_dtype=param_dtype, rngs=rngs)
        self.mlp = Mlp(dim, param_dtype=param_dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2(nnx.Module):
    """`blocks` is a list, or, `scanned`, one block whose parameters have a first axis `layer`."""

    def __init__(self, config: Any, *, scanned: bool, param_dtype: Any, rngs: nnx.Rngs) -> None:
        dim, heads, epsilon = config.n_embd, config.n_head, config.layer_norm_epsilon
        self.embed = nnx.Embed(config.vocab_size, dim, param_dtype=param_dtype, rngs=rngs)
        self.positions = nnx.Param(jnp.zeros((config.n_positions, dim), param_dtype))
        self.norm = nnx.LayerNorm(dim, epsilon=epsilon, param_dtype=param_dtype, rngs=rngs)
        self.scanned = scanned
        if scanned:

            @nnx.split_rngs(splits=config.n_layer)
            @nnx.vmap(in_axes=(0,), out_axes=0)
            def blocks(rngs: nnx.Rngs) -> OwnBlock:
                return OwnBlock(dim, heads, epsilon, param_dtype=param_dtype, rngs=rngs)

            self.blocks = blocks(rngs)
        else:
            self.blocks = nnx.List(
                [Block(dim, heads, epsilon, param_dtype=param_dtype, rngs=rngs) for _ in range(config.n_layer)]
            )

    def __call__(self, ids: Array) -> Array:
        x = self.embed(ids) + self.positions[: ids.shape[1]]
        if self.scanned:
            x = _through(x, self.blocks)
        else:
            for block in self.blocks:
                x = block(x)
        return self.embed.attend(self.norm(x))


@nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
def _through(x: Array, block: OwnBlock) -> Array:
    return block(x)


def unrolled(model: nn.Module, dtype: DTypeLike) -> Built:
    module = abstract(lambda: GPT2(model.config, scanned=False, param_dtype=dtype, rngs=nnx.Rngs(0)))
    w = of.gpt2(model, dtype)
    fill_around(module, w)
    for block, each in zip(module.blocks, w["blocks"], strict=True):
        heads = model.config.n_head
        for part, name in ((block.norm1, "norm1"), (block.norm2, "norm2")):
            fill_norm(part, each[name])
        parts = (block.attn.query, block.attn.key, block.attn.value)
        for part, packed in zip(parts, of.by_head(each["qkv"], heads).values(), strict=True):
            fill_linear(part, packed)
        weight = each["proj"]["weight"]
        fill_linear(block.attn.out, each["proj"] | {"weight": weight.reshape(heads, -1, weight.shape[1])})
        fill_linear(block.mlp.up, each["up"])
        fill_linear(block.mlp.down, each["down"])
    return Built(module)


def scanned(model: nn.Module, dtype: DTypeLike) -> Built:
    module = abstract(lambda: GPT2(model.config, scanned=True, param_dtype=dtype, rngs=nnx.Rngs(0)))
    w = of.gpt2(model, dtype)
    fill_around(module, w)
    block, each = module.blocks, jax.tree.map(lambda *leaves: jnp.stack(leaves), *w["blocks"])
    fill_norm(block.ln_1, each["norm1"])
    fill_norm(block.ln_2, each["norm2"])
    for part, name in (
        (block.attn.qkv, "qkv"),
        (block.attn.proj, "proj"),
        (block.mlp.up, "up"),
        (block.mlp.down, "down"),
    ):
        fill_linear(part, each[name])
    return Built(module)


def fill_around(module: GPT2, w: of.Weights) -> None:
    fill(module.embed.embedding, w["embed"])
    fill(module.positions, w["positions"])
    fill_norm(module.norm, w["norm"])


def fill_linear(linear: nnx.Module, w: of.Weights) -> None:
    fill(linear.kernel, w["weight"])
    fill(linear.bias, w["bias"])


def fill_norm(norm: nnx.Module, w: of.Weights) -> None:
    fill(norm.scale, w["weight"])
    fill(norm.bias, w["bias"])


def abstract(make: Callable[[], Module]) -> Module:
    """The module with shapes in place of arrays, for `fill`: to draw numbers that nobody uses takes seconds."""
    return nnx.eval_shape(make)


def fill(variable: nnx.Variable[Any], value: Array) -> None:
    """`value` for the variable's: of the same shape and dtype, or the converter is wrong."""
    place = variable.get_value()
    assert (place.shape, place.dtype) == (value.shape, value.dtype), (place, value.shape, value.dtype)
    variable.set_value(value)


TIED = ("unembed", "embed:attend")
TWINS = (
    # nnx calls jax.nn.dot_product_attention, whose softmax is float32 whatever it is given.
    Twin("gpt2-nnx", "gpt2", "nnx", unrolled, (TIED, ("layers", "blocks")), tolerance=1e-6),
    Twin(
        "gpt2-nnx-scan", "gpt2", "nnx", scanned,
        (TIED, ("norm1", "ln_1"), ("norm2", "ln_2"), (r"layers\.(\d+)", r"blocks[\1]")),
    ),
)  # fmt: skip
