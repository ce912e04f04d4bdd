"""GPT-2 in Haiku: blocks in a Python loop with Haiku's attention, and under layer_stack with one in jnp."""

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array
from numpy.typing import DTypeLike
from torch import nn

from . import weights as of
from .twin import Built, Twin, stacked

Params = dict[str, dict[str, Array]]
BARE = ((r"unembed:.*", "the unembedding is a product in the model's own code: no part stands for it"),)


class Mlp(hk.Module):
    """Four times as wide as the model."""

    def __call__(self, x: Array) -> Array:
        dim = x.shape[-1]
        hidden = jax.nn.gelu(hk.Linear(4 * dim)(x))
        return hk.Linear(dim)(hidden)


class CausalSelfAttention(hk.Module):
    """One Linear for q, k and v, einsum for the rest."""

    def __init__(self, heads: int, name: str | None = None) -> None:
        super().__init__(name=name)
        self.heads = heads

    def __call__(self, x: Array) -> Array:
        *_, length, dim = x.shape
        packed = hk.Linear(3 * dim, name="qkv")(x)
        q, k, v = (part.reshape(*x.shape[:-1], self.heads, -1) for part in jnp.split(packed, 3, axis=-1))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(q.shape[-1]).astype(x.dtype)
        pattern = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((length, length))) == 0, -1e30, scores))
        return hk.Linear(dim, name="proj")(jnp.einsum("bhqk,bkhd->bqhd", pattern, v).reshape(x.shape))


def layer_norm(epsilon: float) -> hk.LayerNorm:
    # Made in a function and not in a method, whose name Haiku would put into the path: `block/~norm/layer_norm`.
    return hk.LayerNorm(axis=-1, create_scale=True, create_offset=True, eps=epsilon)


class Block(hk.Module):
    """Pre-norm; names of parts are Haiku's."""

    def __init__(self, heads: int, epsilon: float, own: bool = False, name: str | None = None) -> None:
        super().__init__(name=name)
        self.heads, self.epsilon, self.own = heads, epsilon, own

    def __call__(self, x: Array) -> Array:
        dim = x.shape[-1]
        y = layer_norm(self.epsilon)(x)
        if self.own:
            x = x + CausalSelfAttention(self.heads)(y)
        else:
            causal = jnp.tril(jnp.ones((1, 1, x.shape[1], x.shape[1]), dtype=bool))
            attention = hk.MultiHeadAttention(self.heads, dim // self.heads, w_init=hk.initializers.RandomNormal())
            x = x + attention(y, y, y, mask=causal)
        return x + Mlp()(layer_norm(self.epsilon)(x))


class Transformer(hk.Module):
    """Blocks are `block`, `block_1`, …; under layer_stack one `block` with a first axis `layer`."""

    def __init__(self, config: Any, *, stack: bool) -> None:
        super().__init__()
        self.config, self.stack = config, stack

    def __call__(self, ids: Array) -> Array:
        config = self.config
        embed = hk.Embed(config.vocab_size, config.n_embd)
        shape = (config.n_positions, config.n_embd)
        positions = hk.get_parameter("positions", shape, init=hk.initializers.RandomNormal())
        x = embed(ids) + positions[: ids.shape[1]]
        sizes = (config.n_head, config.layer_norm_epsilon)
        if self.stack:
            x = hk.experimental.layer_stack(config.n_layer)(lambda x: Block(*sizes, own=True)(x))(x)
        else:
            for _ in range(config.n_layer):
                x = Block(*sizes)(x)
        return layer_norm(config.layer_norm_epsilon)(x) @ embed.embeddings.T


def transformed(config: Any, *, stack: bool) -> hk.Transformed:
    return hk.transform(lambda ids: Transformer(config, stack=stack)(ids))


def unrolled(model: nn.Module, dtype: DTypeLike) -> Built:
    w = of.gpt2(model, dtype)
    params = around(w)
    for number, each in enumerate(w["blocks"]):
        path = f"transformer/block_{number}" if number else "transformer/block"
        params |= {f"{path}/{name}": value for name, value in block(each, model.config.n_head).items()}
    return Built(transformed(model.config, stack=False), params)


def layer_stack(model: nn.Module, dtype: DTypeLike) -> Built:
    w = of.gpt2(model, dtype)
    path = "transformer/__layer_stack_no_per_layer/block"
    blocks = stacked([own_block(each) for each in w["blocks"]])
    params = around(w) | {f"{path}/{name}": value for name, value in blocks.items()}
    return Built(transformed(model.config, stack=True), params)


def around(w: of.Weights) -> Params:
    return {
        "transformer/embed": {"embeddings": w["embed"]},
        "transformer": {"positions": w["positions"]},
        "transformer/layer_norm": norm(w["norm"]),
    }


def block(each: of.Weights, heads: int) -> Params:
    """Haiku's attention keeps each map flat: `dim (head head_dim)`."""
    q, k, v = of.by_head(each["qkv"], heads).values()
    flat = {name: {"w": part["weight"].reshape(len(part["weight"]), -1), "b": part["bias"].ravel()}
            for name, part in (("query", q), ("key", k), ("value", v))}  # fmt: skip
    flat["linear"] = linear(each["proj"])
    return {f"multi_head_attention/{name}": value for name, value in flat.items()} | rest(each)


def own_block(each: of.Weights) -> Params:
    return {
        "causal_self_attention/qkv": linear(each["qkv"]),
        "causal_self_attention/proj": linear(each["proj"]),
    } | rest(each)


def rest(each: of.Weights) -> Params:
    return {
        "layer_norm": norm(each["norm1"]),
        "layer_norm_1": norm(each["norm2"]),
        "mlp/linear": linear(each["up"]),
        "mlp/linear_1": linear(each["down"]),
    }


def linear(w: of.Weights) -> dict[str, Array]:
    return {"w": w["weight"], "b": w["bias"]}


def norm(w: of.Weights) -> dict[str, Array]:
    return {"scale": w["weight"], "offset": w["bias"]}


PARTS = (("norm1", "layer_norm"), ("norm2", "layer_norm_1"))
AROUND = (("embed", "transformer.embed"), ("norm", "transformer.layer_norm"))
ONE_BY_ONE = (
    (r"layers\.0", "transformer.block"),
    (r"layers\.(\d+)", r"transformer.block_\1"),
    ("attn", "multi_head_attention"),
)
STACKED = (
    (r"layers\.(\d+)", r"transformer.__layer_stack_no_per_layer.block[\1]"),
    ("attn", "causal_self_attention"),
)
GIVEN_THREE = ((r".*\.attn:in", ("in.key", "in.value")),)
TWINS = (
    Twin("gpt2-haiku", "gpt2", "haiku", unrolled, (*PARTS, *AROUND, *ONE_BY_ONE), lacks=BARE, several=GIVEN_THREE),
    Twin("gpt2-haiku-stack", "gpt2", "haiku", layer_stack, (*PARTS, *AROUND, *STACKED), lacks=BARE),
)
