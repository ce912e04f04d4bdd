"""GPT-2 in flax.linen, four ways: names by linen, names by hand, blocks under nn.scan, and under nn.remat too."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from numpy.typing import DTypeLike
from torch import nn as torch_nn

from . import weights as of
from .twin import Built, Twin, stacked


class Mlp(nn.Module):
    """Four times as wide as the model; linen's gelu is the tanh approximation by default.

    Python makes the outer Dense first: `Dense_0` is the layer that runs last.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        dim = x.shape[-1]
        return nn.Dense(dim)(nn.gelu(nn.Dense(4 * dim)(x)))


class Block(nn.Module):
    """Pre-norm, linen's own attention; all names are linen's."""

    heads: int
    epsilon: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = nn.LayerNorm(epsilon=self.epsilon)(x)
        x = x + nn.MultiHeadDotProductAttention(num_heads=self.heads)(y, mask=nn.make_causal_mask(x[..., 0]))
        return x + Mlp()(nn.LayerNorm(epsilon=self.epsilon)(x))


class GPT2(nn.Module):
    """Blocks in a Python loop: `Block_0`, `Block_1`, …"""

    vocabulary: int
    positions: int
    dim: int
    heads: int
    layers: int
    epsilon: float

    @nn.compact
    def __call__(self, ids: Array) -> Array:
        embed = nn.Embed(self.vocabulary, self.dim)
        positions = self.param("positions", nn.initializers.normal(), (self.positions, self.dim))
        x = embed(ids) + positions[: ids.shape[1]]
        for _ in range(self.layers):
            x = Block(self.heads, self.epsilon)(x)
        return embed.attend(nn.LayerNorm(epsilon=self.epsilon)(x))


class CausalSelfAttention(nn.Module):
    """One Dense for q, k and v, and the rest in jnp."""

    heads: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        batch, length, dim = x.shape
        qkv = nn.Dense(3 * dim, name="c_attn")(x).reshape(batch, length, 3, self.heads, -1)
        q, k, v = (qkv[:, :, number].transpose(0, 2, 1, 3) for number in range(3))
        scores = q @ k.swapaxes(-2, -1) / jnp.sqrt(q.shape[-1])
        causal = jnp.tril(jnp.ones((length, length), dtype=bool))
        pattern = nn.softmax(jnp.where(causal, scores, -jnp.inf))
        z = (pattern @ v).transpose(0, 2, 1, 3).reshape(batch, length, dim)
        return nn.Dense(dim, name="c_proj")(z)


class NamedMlp(nn.Module):
    """The same MLP under the names of the published checkpoint."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        dim = x.shape[-1]
        hidden = nn.gelu(nn.Dense(4 * dim, name="c_fc")(x), approximate=True)
        return nn.Dense(dim, name="c_proj")(hidden)


class NamedBlock(nn.Module):
    """Pre-norm, attention of our own."""

    heads: int
    epsilon: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x + CausalSelfAttention(self.heads, name="attn")(nn.LayerNorm(epsilon=self.epsilon, name="ln_1")(x))
        return x + NamedMlp(name="mlp")(nn.LayerNorm(epsilon=self.epsilon, name="ln_2")(x))


class NamedGPT2(nn.Module):
    """Blocks in a Python loop: `block_0`, `block_1`, … Positions are a second Embed."""

    vocabulary: int
    positions: int
    dim: int
    heads: int
    layers: int
    epsilon: float

    @nn.compact
    def __call__(self, ids: Array) -> Array:
        wte = nn.Embed(self.vocabulary, self.dim, name="wte")
        wpe = nn.Embed(self.positions, self.dim, name="wpe")
        x = wte(ids) + wpe(jnp.arange(ids.shape[1]))
        for number in range(self.layers):
            x = NamedBlock(self.heads, self.epsilon, name=f"block_{number}")(x)
        return wte.attend(nn.LayerNorm(epsilon=self.epsilon, name="ln_f")(x))


class Carried(nn.Module):
    """A block as nn.scan wants its body: (carry, x) to (carry, y)."""

    heads: int
    epsilon: float

    @nn.compact
    def __call__(self, x: Array, _: None) -> tuple[Array, None]:
        y = nn.LayerNorm(epsilon=self.epsilon, name="ln_1")(x)
        attention = nn.MultiHeadDotProductAttention(num_heads=self.heads, name="attn")
        x = x + attention(y, mask=nn.make_causal_mask(x[..., 0]))
        y = nn.LayerNorm(epsilon=self.epsilon, name="ln_2")(x)
        return x + NamedMlp(name="mlp")(y), None


class Wrapped(nn.Module):
    """A body for nn.scan that holds the block as a module of its own."""

    heads: int
    epsilon: float
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, _: None) -> tuple[Array, None]:
        # Within a scan there is nothing for CSE to merge; preventing it only costs time (says jax.checkpoint).
        block = nn.remat(NamedBlock, prevent_cse=False) if self.remat else NamedBlock
        return block(self.heads, self.epsilon, name="block")(x), None


class ScannedGPT2(nn.Module):
    """`layers` are one scan over stacked parameters; parts are made in setup."""

    vocabulary: int
    positions: int
    dim: int
    heads: int
    layers: int
    epsilon: float
    body: type[nn.Module]
    options: tuple[tuple[str, Any], ...] = ()

    def setup(self) -> None:
        self.embed = nn.Embed(self.vocabulary, self.dim)
        self.pos_embed = self.param("pos_embed", nn.initializers.normal(), (self.positions, self.dim))
        # Without an axis for `intermediates`, linen's own capture leaves out all blocks and says nothing.
        axes = {"params": 0, "intermediates": 0}
        scan = nn.scan(self.body, variable_axes=axes, split_rngs={"params": True}, length=self.layers)
        self.blocks = scan(self.heads, self.epsilon, **dict(self.options))
        self.norm = nn.LayerNorm(epsilon=self.epsilon)

    def __call__(self, ids: Array) -> Array:
        x = self.embed(ids) + self.pos_embed[: ids.shape[1]]
        x, _ = self.blocks(x, None)
        return self.embed.attend(self.norm(x))


def automatic(model: torch_nn.Module, dtype: DTypeLike) -> Built:
    w = of.gpt2(model, dtype)
    heads = model.config.n_head

    def block(each: of.Weights) -> dict[str, Any]:
        return {
            "LayerNorm_0": norm(each["norm1"]),
            "MultiHeadDotProductAttention_0": attention(each, heads),
            "LayerNorm_1": norm(each["norm2"]),
            "Mlp_0": {"Dense_1": dense(each["up"]), "Dense_0": dense(each["down"])},
        }

    params = {f"Block_{number}": block(each) for number, each in enumerate(w["blocks"])}
    params |= {"Embed_0": {"embedding": w["embed"]}, "positions": w["positions"], "LayerNorm_0": norm(w["norm"])}
    return Built(GPT2(*sizes(model)), {"params": params})


def named(model: torch_nn.Module, dtype: DTypeLike) -> Built:
    w = of.gpt2(model, dtype)
    params = {f"block_{number}": named_block(each) for number, each in enumerate(w["blocks"])}
    params |= {"wte": {"embedding": w["embed"]}, "wpe": {"embedding": w["positions"]}, "ln_f": norm(w["norm"])}
    return Built(NamedGPT2(*sizes(model)), {"params": params})


def scanned(model: torch_nn.Module, dtype: DTypeLike) -> Built:
    heads = model.config.n_head

    def block(each: of.Weights) -> dict[str, Any]:
        return {
            "ln_1": norm(each["norm1"]),
            "attn": attention(each, heads),
            "ln_2": norm(each["norm2"]),
            "mlp": {"c_fc": dense(each["up"]), "c_proj": dense(each["down"])},
        }

    w = of.gpt2(model, dtype)
    return Built(ScannedGPT2(*sizes(model), Carried), around(w, stacked([block(each) for each in w["blocks"]])))


def rematerialised(model: torch_nn.Module, dtype: DTypeLike) -> Built:
    w = of.gpt2(model, dtype)
    blocks = {"block": stacked([named_block(each) for each in w["blocks"]])}
    return Built(ScannedGPT2(*sizes(model), Wrapped, (("remat", True),)), around(w, blocks))


def around(w: of.Weights, blocks: Any) -> dict[str, Any]:
    params = {"embed": {"embedding": w["embed"]}, "pos_embed": w["positions"], "norm": norm(w["norm"])}
    return {"params": params | {"blocks": blocks}}


def named_block(each: of.Weights) -> dict[str, Any]:
    return {
        "ln_1": norm(each["norm1"]),
        "attn": {"c_attn": dense(each["qkv"]), "c_proj": dense(each["proj"])},
        "ln_2": norm(each["norm2"]),
        "mlp": {"c_fc": dense(each["up"]), "c_proj": dense(each["down"])},
    }


def attention(each: of.Weights, heads: int) -> dict[str, Any]:
    """nn.MultiHeadDotProductAttention's parameters: kernels by head, the output's `head head_dim dim`."""
    q, k, v = of.by_head(each["qkv"], heads).values()
    weight = each["proj"]["weight"]
    out = {"kernel": weight.reshape(heads, -1, weight.shape[1]), "bias": each["proj"]["bias"]}
    return {"query": dense(q), "key": dense(k), "value": dense(v), "out": out}


def dense(linear: of.Weights) -> dict[str, jax.Array]:
    return {"kernel": linear["weight"], "bias": linear["bias"]}


def norm(weights: of.Weights) -> dict[str, jax.Array]:
    return {"scale": weights["weight"], "bias": weights["bias"]}


def sizes(model: torch_nn.Module) -> tuple[int, int, int, int, int, float]:
    config = model.config
    return (
        config.vocab_size, config.n_positions, config.n_embd, config.n_head, config.n_layer, config.layer_norm_epsilon
    )  # fmt: skip


AUTOMATIC = (
    ("embed", "Embed_0"),
    ("unembed", "Embed_0:attend"),
    (r"layers\.(\d+)", r"Block_\1"),
    ("norm1?", "LayerNorm_0"),
    ("norm2", "LayerNorm_1"),
    ("attn", "MultiHeadDotProductAttention_0"),
    ("mlp", "Mlp_0"),
)
NORMS = (("norm1", "ln_1"), ("norm2", "ln_2"))
TIED = ("unembed", "embed:attend")
TWINS = (
    Twin("gpt2-linen", "gpt2", "linen", automatic, AUTOMATIC),
    Twin(
        "gpt2-linen-named", "gpt2", "linen", named,
        (*NORMS, ("embed", "wte"), ("unembed", "wte:attend"), ("norm", "ln_f"), (r"layers\.(\d+)", r"block_\1")),
    ),
    Twin("gpt2-linen-scan", "gpt2", "linen", scanned, (*NORMS, TIED, (r"layers\.(\d+)", r"blocks[\1]"))),
    Twin(
        "gpt2-linen-scan-remat", "gpt2", "linen", rematerialised,
        (*NORMS, TIED, (r"layers\.(\d+)", r"blocks[\1].block")),
    ),
)  # fmt: skip
