"""Llama in flax.linen, unrolled: names as in the published checkpoints, grouped heads by an axis of their own."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from numpy.typing import DTypeLike
from oracles.llama import forward_in_float64 as truth
from torch import nn as torch_nn

from . import weights as of
from .rotary import rotation, turned
from .twin import Built, Twin


class Attention(nn.Module):
    """Several query heads on each key-value head; a query that may see nothing gets zeros."""

    heads: int
    shared: int
    base: float

    @nn.compact
    def __call__(self, x: Array, allowed: Array) -> Array:
        batch, length, dim = x.shape

        def project(name: str, heads: int) -> Array:
            return nn.DenseGeneral((heads, dim // self.heads), use_bias=False, name=name)(x)

        q, k, v = project("q_proj", self.heads), project("k_proj", self.shared), project("v_proj", self.shared)
        cos, sin = rotation(length, q.shape[-1], self.base, x.dtype)
        q, k = turned(q, cos, sin), turned(k, cos, sin)
        q = q.reshape(batch, length, self.shared, self.heads // self.shared, -1)
        scores = jnp.einsum("bqgsd,bkgd->bgsqk", q, k) / math.sqrt(q.shape[-1])
        pattern = nn.softmax(scores, axis=-1, where=allowed[:, None])
        z = jnp.einsum("bgsqk,bkgd->bqgsd", pattern, v).reshape(batch, length, self.heads, -1)
        return nn.DenseGeneral(dim, axis=(-2, -1), use_bias=False, name="o_proj")(z)


class Mlp(nn.Module):
    """down(silu(gate(x)) · up(x))."""

    width: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        gate = nn.Dense(self.width, use_bias=False, name="gate_proj")(x)
        up = nn.Dense(self.width, use_bias=False, name="up_proj")(x)
        return nn.Dense(x.shape[-1], use_bias=False, name="down_proj")(nn.silu(gate) * up)


class Layer(nn.Module):
    """Attention, then MLP, each behind its norm."""

    config: Any

    @nn.compact
    def __call__(self, x: Array, allowed: Array) -> Array:
        config = self.config
        attention = Attention(
            config.num_attention_heads, config.num_key_value_heads, config.rope_parameters["rope_theta"],
            name="self_attn",
        )  # fmt: skip
        y = nn.RMSNorm(epsilon=config.rms_norm_eps, name="input_layernorm")(x)
        x = x + attention(y, allowed)
        y = nn.RMSNorm(epsilon=config.rms_norm_eps, name="post_attention_layernorm")(x)
        return x + Mlp(config.intermediate_size, name="mlp")(y)


class Llama(nn.Module):
    """`layers_0`, `layers_1`, …"""

    config: Any

    def setup(self) -> None:
        config = self.config
        self.embed_tokens = nn.Embed(config.vocab_size, config.hidden_size)
        self.layers = [Layer(config) for _ in range(config.num_hidden_layers)]
        self.norm = nn.RMSNorm(epsilon=config.rms_norm_eps)
        self.lm_head = nn.Dense(config.vocab_size, use_bias=False)

    def __call__(self, input_ids: Array, attention_mask: Array) -> Array:
        allowed = nn.make_causal_mask(input_ids, dtype=bool) & attention_mask.astype(bool)[:, None, None, :]
        x = self.embed_tokens(input_ids)
        for layer in self.layers:
            x = layer(x, allowed)
        return self.lm_head(self.norm(x))


def unrolled(model: torch_nn.Module, dtype: DTypeLike) -> Built:
    w = of.llama(model, dtype)
    params = {f"layers_{number}": layer(each, model.config.head_dim) for number, each in enumerate(w["blocks"])}
    params |= {
        "embed_tokens": {"embedding": w["embed"]},
        "norm": {"scale": w["norm"]},
        "lm_head": {"kernel": w["unembed"]},
    }
    return Built(Llama(model.config), {"params": params})


def layer(each: of.Weights, head_dim: int) -> dict[str, Any]:
    by_head = {f"{name}_proj": {"kernel": each[name].reshape(len(each[name]), -1, head_dim)} for name in "qkv"}
    by_head["o_proj"] = {"kernel": each["o"].reshape(-1, head_dim, each["o"].shape[1])}
    mlp: dict[str, dict[str, jax.Array]] = {f"{name}_proj": {"kernel": each[name]} for name in ("gate", "up", "down")}
    norms = {"input_layernorm": {"scale": each["norm1"]}, "post_attention_layernorm": {"scale": each["norm2"]}}
    return {"self_attn": by_head, "mlp": mlp, **norms}


PAIRS = (
    ("embed", "embed_tokens"),
    (r"layers\.(\d+)", r"layers_\1"),
    ("attn", "self_attn"),
    ("norm1", "input_layernorm"),
    ("norm2", "post_attention_layernorm"),
    ("unembed", "lm_head"),
)
TWINS = (Twin("llama-linen", "llama", "linen", unrolled, PAIRS, forward=truth),)
