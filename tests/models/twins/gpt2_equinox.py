"""GPT-2 in Equinox, for one example, called under jax.vmap: blocks in a list, and blocks stacked under lax.scan."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from numpy.typing import DTypeLike
from torch import nn

from . import weights as of
from .twin import Built, Twin, stacked


class Mlp(eqx.Module):
    """Four times as wide as the model, for one position."""

    fc1: eqx.nn.Linear
    fc2: eqx.nn.Linear

    def __init__(self, dim: int, *, dtype: Any, key: Array) -> None:
        keys = jax.random.split(key)
        self.fc1 = eqx.nn.Linear(dim, 4 * dim, dtype=dtype, key=keys[0])
        self.fc2 = eqx.nn.Linear(4 * dim, dim, dtype=dtype, key=keys[1])

    def __call__(self, x: Array) -> Array:
        return self.fc2(jax.nn.gelu(self.fc1(x)))


class Block(eqx.Module):
    """Pre-norm, Equinox's own attention with all its biases; norms and MLP are mapped over positions."""

    norm1: eqx.nn.LayerNorm
    attn: eqx.nn.MultiheadAttention
    norm2: eqx.nn.LayerNorm
    mlp: Mlp

    def __init__(self, dim: int, heads: int, epsilon: float, *, dtype: Any, key: Array) -> None:
        keys = jax.random.split(key)
        biases = {f"use_{name}_bias": True for name in ("query", "key", "value", "output")}
        self.norm1 = eqx.nn.LayerNorm(dim, eps=epsilon, dtype=dtype)
        self.attn = eqx.nn.MultiheadAttention(heads, dim, **biases, dtype=dtype, key=keys[0])
        self.norm2 = eqx.nn.LayerNorm(dim, eps=epsilon, dtype=dtype)
        self.mlp = Mlp(dim, dtype=dtype, key=keys[1])

    def __call__(self, x: Array) -> Array:
        causal = jnp.tril(jnp.ones((len(x), len(x)), dtype=bool))
        y = jax.vmap(self.norm1)(x)
        x = x + self.attn(y, y, y, mask=causal)
        return x + jax.vmap(self.mlp)(jax.vmap(self.norm2)(x))


class GPT2(eqx.Module):
    """The unembedding is a Linear that shares the embedding's weight, as eqx.nn.Shared has it."""

    tied: eqx.nn.Shared
    positions: Array
    blocks: list[Block]
    norm: eqx.nn.LayerNorm

    def __init__(self, config: Any, *, dtype: Any, key: Array) -> None:
        dim, epsilon = config.n_embd, config.layer_norm_epsilon
        keys = jax.random.split(key, 2 + config.n_layer)
        embed = eqx.nn.Embedding(config.vocab_size, dim, dtype=dtype, key=keys[0])
        unembed = eqx.nn.Linear(dim, config.vocab_size, use_bias=False, dtype=dtype, key=keys[1])
        self.tied = eqx.nn.Shared((embed, unembed), lambda pair: pair[1].weight, lambda pair: pair[0].weight)
        self.positions = jnp.zeros((config.n_positions, dim), dtype)
        self.blocks = [Block(dim, config.n_head, epsilon, dtype=dtype, key=each) for each in keys[2:]]
        self.norm = eqx.nn.LayerNorm(dim, eps=epsilon, dtype=dtype)

    def __call__(self, ids: Array) -> Array:
        embed, unembed = self.tied()
        x = jax.vmap(embed)(ids) + self.positions[: len(ids)]
        for block in self.blocks:
            x = block(x)
        return jax.vmap(unembed)(jax.vmap(self.norm)(x))


class OwnAttention(eqx.Module):
    """One Linear for q, k and v, einsum for the rest."""

    qkv: eqx.nn.Linear
    proj: eqx.nn.Linear
    heads: int = eqx.field(static=True)

    def __init__(self, dim: int, heads: int, *, dtype: Any, key: Array) -> None:
        keys = jax.random.split(key)
        self.qkv = eqx.nn.Linear(dim, 3 * dim, dtype=dtype, key=keys[0])
        self.proj = eqx.nn.Linear(dim, dim, dtype=dtype, key=keys[1])
        self.heads = heads

    def __call__(self, x: Array) -> Array:
        length, dim = x.shape
        q, k, v = jnp.moveaxis(jax.vmap(self.qkv)(x).reshape(length, 3, self.heads, -1), 1, 0)
        scores = jnp.einsum("qhd,khd->hqk", q, k) * (dim // self.heads) ** -0.5
        causal = jnp.tril(jnp.ones((length, length), dtype=bool))
        pattern = jax.nn.softmax(scores, axis=-1, where=causal)
        return jax.vmap(self.proj)(jnp.einsum("hqk,khd->qhd", pattern, v).reshape(length, dim))


class OwnBlock(eqx.Module):
    """Pre-norm, attention of our own."""

    ln_1: eqx.nn.LayerNorm
    attn: OwnAttention
    ln_2: eqx.nn.LayerNorm
    mlp: Mlp

    def __init__(self, dim: int, heads: int, epsilon: float, *, dtype: Any, key: Array) -> None:
        keys = jax.random.split(key)
        self.ln_1 = eqx.nn.LayerNorm(dim, eps=epsilon, dtype=dtype)
        self.attn = OwnAttention(dim, heads, dtype=dtype, key=keys[0])
        self.ln_2 = eqx.nn.LayerNorm(dim, eps=epsilon, dtype=dtype)
        self.mlp = Mlp(dim, dtype=dtype, key=keys[1])

    def __call__(self, x: Array) -> Array:
        x = x + self.attn(jax.vmap(self.ln_1)(x))
        return x + jax.vmap(self.mlp)(jax.vmap(self.ln_2)(x))


class ScannedGPT2(eqx.Module):
    """`blocks` is one block whose arrays have a first axis `layer`; the unembedding is a bare product."""

    embed: eqx.nn.Embedding
    positions: Array
    blocks: OwnBlock
    norm: eqx.nn.LayerNorm

    def __init__(self, config: Any, *, dtype: Any, key: Array) -> None:
        dim, epsilon = config.n_embd, config.layer_norm_epsilon
        first, *rest = jax.random.split(key, 1 + config.n_layer)
        self.embed = eqx.nn.Embedding(config.vocab_size, dim, dtype=dtype, key=first)
        self.positions = jnp.zeros((config.n_positions, dim), dtype)
        self.blocks = eqx.filter_vmap(lambda key: OwnBlock(dim, config.n_head, epsilon, dtype=dtype, key=key))(
            jnp.stack(rest)
        )
        self.norm = eqx.nn.LayerNorm(dim, eps=epsilon, dtype=dtype)

    def __call__(self, ids: Array) -> Array:
        x = jax.vmap(self.embed)(ids) + self.positions[: len(ids)]
        arrays, rest = eqx.partition(self.blocks, eqx.is_array)

        def through(x: Array, block: OwnBlock) -> tuple[Array, None]:
            return eqx.combine(block, rest)(x), None

        x, _ = jax.lax.scan(through, x, arrays)
        return jax.vmap(self.norm)(x) @ self.embed.weight.T


def unrolled(model: nn.Module, dtype: DTypeLike) -> Built:
    module = eqx.filter_eval_shape(GPT2, model.config, dtype=dtype, key=jax.random.key(0))
    w = of.gpt2(model, dtype)
    module = eqx.tree_at(
        lambda m: (m.tied.pytree[0].weight, m.positions, *norm_leaves(m.norm)),
        module,
        (w["embed"], w["positions"], *norm_values(w["norm"])),
    )
    blocks = [filled(block, each, model.config.n_head) for block, each in zip(module.blocks, w["blocks"], strict=True)]
    return Built(eqx.tree_at(lambda m: m.blocks, module, blocks), call=mapped)


def scanned(model: nn.Module, dtype: DTypeLike) -> Built:
    module = eqx.filter_eval_shape(ScannedGPT2, model.config, dtype=dtype, key=jax.random.key(0))
    w = of.gpt2(model, dtype)
    each = stacked([own_values(block) for block in w["blocks"]])
    module = eqx.tree_at(
        lambda m: (m.embed.weight, m.positions, *norm_leaves(m.norm), *own_leaves(m.blocks)),
        module,
        (w["embed"], w["positions"], *norm_values(w["norm"]), *each),
    )
    return Built(module, call=mapped)


def mapped(model: eqx.Module, ids: Array) -> Array:
    return jax.vmap(model)(ids)


def filled(block: Block, each: of.Weights, heads: int) -> Block:
    """The block with its weights; Equinox keeps a Linear's as output × input."""
    parts = of.by_head(each["qkv"], heads).values()
    qkv = [(part["weight"].reshape(len(part["weight"]), -1).T, part["bias"].ravel()) for part in parts]

    def leaves(block: Block) -> tuple[Array, ...]:
        attn, mlp = block.attn, block.mlp
        linears = (attn.query_proj, attn.key_proj, attn.value_proj, attn.output_proj, mlp.fc1, mlp.fc2)
        return (
            *norm_leaves(block.norm1),
            *norm_leaves(block.norm2),
            *(leaf for linear in linears for leaf in (linear.weight, linear.bias)),
        )

    rest = [(each[name]["weight"].T, each[name]["bias"]) for name in ("proj", "up", "down")]
    values = (
        *norm_values(each["norm1"]),
        *norm_values(each["norm2"]),
        *(value for pair in (*qkv, *rest) for value in pair),
    )
    return eqx.tree_at(leaves, block, values)


def own_leaves(block: OwnBlock) -> tuple[Array, ...]:
    linears = (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2)
    pairs = ((linear.weight, linear.bias) for linear in linears)
    return (*norm_leaves(block.ln_1), *norm_leaves(block.ln_2), *(leaf for pair in pairs for leaf in pair))


def own_values(each: of.Weights) -> tuple[Array, ...]:
    pairs = ((each[name]["weight"].T, each[name]["bias"]) for name in ("qkv", "proj", "up", "down"))
    return (*norm_values(each["norm1"]), *norm_values(each["norm2"]), *(value for pair in pairs for value in pair))


def norm_leaves(norm: eqx.nn.LayerNorm) -> tuple[Array | None, ...]:
    return norm.weight, norm.bias


def norm_values(w: of.Weights) -> tuple[Array, ...]:
    return w["weight"], w["bias"]


TWINS = (
    Twin(
        "gpt2-equinox", "gpt2", "equinox", unrolled,
        (("layers", "blocks"), ("embed", "tied.pytree.0"), ("unembed", "tied.pytree.1")),
        several=((r".*\.attn:in", ("in.key_", "in.value")),),
    ),
    Twin(
        "gpt2-equinox-scan", "gpt2", "equinox", scanned,
        (("norm1", "ln_1"), ("norm2", "ln_2"), (r"layers\.(\d+)", r"blocks[\1]")),
        lacks=(
            (r"unembed:.*", "the unembedding is a product in the model's own code: no part stands for it"),
        ),
    ),
)  # fmt: skip
