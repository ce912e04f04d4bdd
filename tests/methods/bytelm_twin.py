"""The organism's byte-level transformer in flax.linen, with its weights."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from darklantern.organisms.bytelm import VOCABULARY, ByteLM


class Attention(nn.Module):
    """Causal, q, k and v from one map."""

    heads: int

    @nn.compact
    def __call__(self, x: Any) -> Any:
        batch, pos, dim = x.shape
        q, k, v = nn.Dense(3 * dim, name="qkv")(x).reshape(batch, pos, 3, self.heads, -1).transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) / (dim // self.heads) ** 0.5
        pattern = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((pos, pos), bool)), scores, -jnp.inf))
        return nn.Dense(dim, name="out")((pattern @ v).swapaxes(1, 2).reshape(batch, pos, dim))


class Mlp(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        dim = x.shape[-1]
        return nn.Dense(dim, name="down")(nn.relu(nn.Dense(4 * dim, name="up")(x)))


class Block(nn.Module):
    heads: int

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = x + Attention(self.heads, name="attn")(nn.LayerNorm(epsilon=1e-5, name="norm1")(x))
        return x + Mlp(name="mlp")(nn.LayerNorm(epsilon=1e-5, name="norm2")(x))


class Twin(nn.Module):
    """`layers_0`, `layers_1`, …"""

    dim: int
    heads: int
    layers: int
    context: int

    @nn.compact
    def __call__(self, tokens: Any) -> Any:
        x = nn.Embed(VOCABULARY, self.dim, name="embed")(tokens)
        x = x + self.param("position", nn.initializers.zeros, (self.context, self.dim))[: tokens.shape[1]]
        for number in range(self.layers):
            x = Block(self.heads, name=f"layers_{number}")(x)
        x = nn.LayerNorm(epsilon=1e-5, name="norm")(x)
        return nn.Dense(VOCABULARY, use_bias=False, name="unembed")(x)


def twin(lm: ByteLM) -> tuple[Twin, dict[str, Any]]:
    """The module, and `lm`'s weights for it."""
    params = {
        "embed": {"embedding": array(lm.embed.weight)},
        "position": array(lm.position.weight),
        "norm": norm(lm.norm),
        "unembed": dense(lm.unembed),
    }
    for number, block in enumerate(lm.layers):
        params[f"layers_{number}"] = {
            "norm1": norm(block.norm1),
            "attn": {"qkv": dense(block.attn.qkv), "out": dense(block.attn.out)},
            "norm2": norm(block.norm2),
            "mlp": {"up": dense(block.mlp.up), "down": dense(block.mlp.down)},
        }
    shape = lm.shape
    return Twin(shape.dim, shape.heads, shape.layers, shape.context), {"params": params}


def array(tensor: Any) -> jax.Array:
    return jnp.array(tensor.detach().numpy())


def dense(linear: Any) -> dict[str, jax.Array]:
    made = {"kernel": array(linear.weight).T}
    return made if linear.bias is None else made | {"bias": array(linear.bias)}


def norm(each: Any) -> dict[str, jax.Array]:
    return {"scale": array(each.weight), "bias": array(each.bias)}
