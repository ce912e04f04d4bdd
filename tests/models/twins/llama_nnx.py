"""Llama in flax.nnx, on jax.nn.dot_product_attention with grouped heads."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from numpy.typing import DTypeLike
from oracles.llama import forward_in_float64 as truth
from torch import nn

from . import weights as of
from .gpt2_nnx import abstract, fill
from .rotary import rotation, turned
from .twin import Built, Twin


class Attention(nnx.Module):
    """Rotary embedding, then the kernel, to which a mask goes."""

    def __init__(self, config: Any, *, param_dtype: Any, rngs: nnx.Rngs) -> None:
        dim, self.head_dim = config.hidden_size, config.head_dim
        self.base = config.rope_parameters["rope_theta"]
        heads, shared = config.num_attention_heads, config.num_key_value_heads
        more = {"use_bias": False, "param_dtype": param_dtype, "rngs": rngs}
        self.q_proj = nnx.LinearGeneral(dim, (heads, self.head_dim), **more)
        self.k_proj = nnx.LinearGeneral(dim, (shared, self.head_dim), **more)
        self.v_proj = nnx.LinearGeneral(dim, (shared, self.head_dim), **more)
        self.o_proj = nnx.LinearGeneral((heads, self.head_dim), dim, axis=(-2, -1), **more)

    def __call__(self, x: Array, allowed: Array) -> Array:
        cos, sin = rotation(x.shape[1], self.head_dim, self.base, x.dtype)
        q, k = turned(self.q_proj(x), cos, sin), turned(self.k_proj(x), cos, sin)
        z = jax.nn.dot_product_attention(q, k, self.v_proj(x), mask=allowed)
        # The kernel spreads a query that may see nothing over all keys; torch's gives zeros.
        sees = allowed.any(-1).swapaxes(1, 2)[..., None]
        return self.o_proj(jnp.where(sees, z, 0))


class Mlp(nnx.Module):
    """down(silu(gate(x)) · up(x))."""

    def __init__(self, dim: int, width: int, *, param_dtype: Any, rngs: nnx.Rngs) -> None:
        more = {"use_bias": False, "param_dtype": param_dtype, "rngs": rngs}
        self.gate_proj, self.up_proj = nnx.Linear(dim, width, **more), nnx.Linear(dim, width, **more)
        self.down_proj = nnx.Linear(width, dim, **more)

    def __call__(self, x: Array) -> Array:
        return self.down_proj(nnx.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nnx.Module):
    """Attention, then MLP, each behind its norm."""

    def __init__(self, config: Any, *, param_dtype: Any, rngs: nnx.Rngs) -> None:
        dim, more = config.hidden_size, {"param_dtype": param_dtype, "rngs": rngs}
        self.input_layernorm = nnx.RMSNorm(dim, epsilon=config.rms_norm_eps, **more)
        self.self_attn = Attention(config, **more)
        self.post_attention_layernorm = nnx.RMSNorm(dim, epsilon=config.rms_norm_eps, **more)
        self.mlp = Mlp(dim, config.intermediate_size, **more)

    def __call__(self, x: Array, allowed: Array) -> Array:
        x = x + self.self_attn(self.input_layernorm(x), allowed)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nnx.Module):
    """`layers` is an nnx.List."""

    def __init__(self, config: Any, *, param_dtype: Any, rngs: nnx.Rngs) -> None:
        dim, more = config.hidden_size, {"param_dtype": param_dtype, "rngs": rngs}
        self.embed_tokens = nnx.Embed(config.vocab_size, dim, **more)
        self.layers = nnx.List([Layer(config, **more) for _ in range(config.num_hidden_layers)])
        self.norm = nnx.RMSNorm(dim, epsilon=config.rms_norm_eps, **more)
        self.lm_head = nnx.Linear(dim, config.vocab_size, use_bias=False, **more)

    def __call__(self, input_ids: Array, attention_mask: Array) -> Array:
        causal = nnx.make_causal_mask(input_ids, dtype=bool)
        allowed = causal & attention_mask.astype(bool)[:, None, None, :]
        x = self.embed_tokens(input_ids)
        for layer in self.layers:
            x = layer(x, allowed)
        return self.lm_head(self.norm(x))


def unrolled(model: nn.Module, dtype: DTypeLike) -> Built:
    module = abstract(lambda: Llama(model.config, param_dtype=dtype, rngs=nnx.Rngs(0)))
    w = of.llama(model, dtype)
    fill(module.embed_tokens.embedding, w["embed"])
    fill(module.norm.scale, w["norm"])
    fill(module.lm_head.kernel, w["unembed"])
    for layer, each in zip(module.layers, w["blocks"], strict=True):
        fill(layer.input_layernorm.scale, each["norm1"])
        fill(layer.post_attention_layernorm.scale, each["norm2"])
        for name in "qkvo":
            kernel = getattr(layer.self_attn, f"{name}_proj").kernel
            fill(kernel, each[name].reshape(kernel.shape))
        for name in ("gate", "up", "down"):
            fill(getattr(layer.mlp, f"{name}_proj").kernel, each[name])
    return Built(module)


PAIRS = (
    ("embed", "embed_tokens"),
    ("attn", "self_attn"),
    ("norm1", "input_layernorm"),
    ("norm2", "post_attention_layernorm"),
    ("unembed", "lm_head"),
)
# Its kernel takes the softmax in float32 whatever it is given.
TWINS = (Twin("llama-nnx", "llama", "nnx", unrolled, PAIRS, forward=truth, tolerance=1e-6),)
