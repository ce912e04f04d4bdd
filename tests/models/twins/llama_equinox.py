"""Llama in Equinox for one example, layers under lax.scan, parts named as in that model's first code."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from numpy.typing import DTypeLike
from oracles.llama import forward_in_float64 as truth
from torch import nn

from . import weights as of
from .twin import Built, Twin, stacked


class Attention(eqx.Module):
    """k and v are repeated for the query heads that share them; Equinox's own rotary embedding."""

    wq: eqx.nn.Linear
    wk: eqx.nn.Linear
    wv: eqx.nn.Linear
    wo: eqx.nn.Linear
    rope: eqx.nn.RotaryPositionalEmbedding
    heads: int = eqx.field(static=True)
    shared: int = eqx.field(static=True)

    def __init__(self, config: Any, *, dtype: Any, key: Array) -> None:
        self.heads, self.shared = config.num_attention_heads, config.num_key_value_heads
        dim, wide, narrow = config.hidden_size, self.heads * config.head_dim, self.shared * config.head_dim
        keys = iter(jax.random.split(key, 4))
        self.wq = eqx.nn.Linear(dim, wide, use_bias=False, dtype=dtype, key=next(keys))
        self.wk = eqx.nn.Linear(dim, narrow, use_bias=False, dtype=dtype, key=next(keys))
        self.wv = eqx.nn.Linear(dim, narrow, use_bias=False, dtype=dtype, key=next(keys))
        self.wo = eqx.nn.Linear(wide, dim, use_bias=False, dtype=dtype, key=next(keys))
        self.rope = eqx.nn.RotaryPositionalEmbedding(config.head_dim, config.rope_parameters["rope_theta"], dtype)

    def __call__(self, x: Array, allowed: Array) -> Array:
        length, _ = x.shape
        q = jax.vmap(self.wq)(x).reshape(length, self.heads, -1)
        k = jax.vmap(self.wk)(x).reshape(length, self.shared, -1)
        v = jax.vmap(self.wv)(x).reshape(length, self.shared, -1)
        q, k = (jax.vmap(self.rope, in_axes=1, out_axes=1)(part) for part in (q, k))
        k, v = (jnp.repeat(part, self.heads // self.shared, axis=1) for part in (k, v))
        scores = jnp.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1])
        # A query that may see nothing (padding on the left) gets zeros, and no NaN to spoil a gradient.
        blind = ~allowed.any(-1, keepdims=True)
        pattern = jax.nn.softmax(jnp.where(allowed | blind, scores, -jnp.inf), axis=-1)
        z = jnp.einsum("hqk,khd->qhd", jnp.where(blind, 0.0, pattern), v)
        return jax.vmap(self.wo)(z.reshape(length, -1))


class FeedForward(eqx.Module):
    """w2(silu(w1(x)) · w3(x)), for one position."""

    w1: eqx.nn.Linear
    w2: eqx.nn.Linear
    w3: eqx.nn.Linear

    def __init__(self, dim: int, width: int, *, dtype: Any, key: Array) -> None:
        keys = jax.random.split(key, 3)
        self.w1 = eqx.nn.Linear(dim, width, use_bias=False, dtype=dtype, key=keys[0])
        self.w2 = eqx.nn.Linear(width, dim, use_bias=False, dtype=dtype, key=keys[1])
        self.w3 = eqx.nn.Linear(dim, width, use_bias=False, dtype=dtype, key=keys[2])

    def __call__(self, x: Array) -> Array:
        return self.w2(jax.nn.silu(self.w1(x)) * self.w3(x))


class TransformerBlock(eqx.Module):
    """Attention, then MLP, each behind its norm."""

    attention_norm: eqx.nn.RMSNorm
    attention: Attention
    ffn_norm: eqx.nn.RMSNorm
    feed_forward: FeedForward

    def __init__(self, config: Any, *, dtype: Any, key: Array) -> None:
        keys = jax.random.split(key)
        self.attention_norm = rms_norm(config, dtype)
        self.attention = Attention(config, dtype=dtype, key=keys[0])
        self.ffn_norm = rms_norm(config, dtype)
        self.feed_forward = FeedForward(config.hidden_size, config.intermediate_size, dtype=dtype, key=keys[1])

    def __call__(self, x: Array, allowed: Array) -> Array:
        x = x + self.attention(jax.vmap(self.attention_norm)(x), allowed)
        return x + jax.vmap(self.feed_forward)(jax.vmap(self.ffn_norm)(x))


class Llama(eqx.Module):
    """`layers` is one block whose arrays have a first axis `layer`."""

    tok_embeddings: eqx.nn.Embedding
    layers: TransformerBlock
    norm: eqx.nn.RMSNorm
    output: eqx.nn.Linear

    def __init__(self, config: Any, *, dtype: Any, key: Array) -> None:
        first, second, third = jax.random.split(key, 3)
        self.tok_embeddings = eqx.nn.Embedding(config.vocab_size, config.hidden_size, dtype=dtype, key=first)
        self.layers = eqx.filter_vmap(lambda key: TransformerBlock(config, dtype=dtype, key=key))(
            jax.random.split(second, config.num_hidden_layers)
        )
        self.norm = rms_norm(config, dtype)
        self.output = eqx.nn.Linear(config.hidden_size, config.vocab_size, use_bias=False, dtype=dtype, key=third)

    def __call__(self, input_ids: Array, attention_mask: Array) -> Array:
        length = len(input_ids)
        allowed = jnp.tril(jnp.ones((length, length), dtype=bool)) & attention_mask.astype(bool)
        arrays, rest = eqx.partition(self.layers, eqx.is_array)

        def through(x: Array, layer: TransformerBlock) -> tuple[Array, None]:
            return eqx.combine(layer, rest)(x, allowed), None

        x, _ = jax.lax.scan(through, jax.vmap(self.tok_embeddings)(input_ids), arrays)
        return jax.vmap(self.output)(jax.vmap(self.norm)(x))


def rms_norm(config: Any, dtype: Any) -> eqx.nn.RMSNorm:
    return eqx.nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps, use_bias=False, dtype=dtype)


def scanned(model: nn.Module, dtype: DTypeLike) -> Built:
    module = eqx.filter_eval_shape(Llama, model.config, dtype=dtype, key=jax.random.key(0))
    w = of.llama(model, dtype)
    values = stacked([layer_values(each) for each in w["blocks"]])
    module = eqx.tree_at(
        lambda m: (m.tok_embeddings.weight, m.norm.weight, m.output.weight, *layer_leaves(m.layers)),
        module,
        (w["embed"], w["norm"], w["unembed"].T, *values),
    )
    return Built(module, call=mapped)


def mapped(model: eqx.Module, input_ids: Array, attention_mask: Array) -> Array:
    return jax.vmap(model)(input_ids, attention_mask)


def layer_leaves(block: TransformerBlock) -> tuple[Array | None, ...]:
    attention, mlp = block.attention, block.feed_forward
    linears = (attention.wq, attention.wk, attention.wv, attention.wo, mlp.w1, mlp.w2, mlp.w3)
    return (block.attention_norm.weight, block.ffn_norm.weight, *(linear.weight for linear in linears))


def layer_values(each: of.Weights) -> tuple[Array, ...]:
    linears = ("q", "k", "v", "o", "gate", "down", "up")
    return (each["norm1"], each["norm2"], *(each[name].T for name in linears))


PAIRS = (
    ("embed", "tok_embeddings"),
    (r"layers\.(\d+)", r"layers[\1]"),
    ("norm1", "attention_norm"),
    ("attn", "attention"),
    ("norm2", "ffn_norm"),
    ("mlp", "feed_forward"),
    ("unembed", "output"),
)
TWINS = (Twin("llama-equinox-scan", "llama", "equinox", scanned, PAIRS, forward=truth),)
