"""The transformer in flax.linen: blocks in a Python loop, and under `nn.scan`."""

from typing import Any

import jax
from flax import linen as nn
from jax import Array

from on_jax.sizes import Sizes, attend, ids
from on_jax.subject import Subject


class Attention(nn.Module):
    heads: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        dim = x.shape[-1]
        q, k, v = (nn.Dense(dim, name=name)(x) for name in ("q", "k", "v"))
        return nn.Dense(dim, name="o")(attend(q, k, v, self.heads))


class Mlp(nn.Module):
    @nn.compact
    def __call__(self, x: Array) -> Array:
        hidden = nn.gelu(nn.Dense(4 * x.shape[-1], name="up")(x))
        return nn.Dense(x.shape[-1], name="down")(hidden)


class Block(nn.Module):
    heads: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x + Attention(self.heads, name="attn")(nn.LayerNorm(name="norm1")(x))
        return x + Mlp(name="mlp")(nn.LayerNorm(name="norm2")(x))


class Scanned(nn.Module):
    """The block as nn.scan wants it: what is carried, and nothing beside it."""

    heads: int

    @nn.compact
    def __call__(self, x: Array, _: None) -> tuple[Array, None]:
        return Block(self.heads, name="block")(x), None


class Transformer(nn.Module):
    sizes: Sizes
    scan: bool = False

    @nn.compact
    def __call__(self, ids: Array) -> Array:
        sizes = self.sizes
        x = nn.Embed(sizes.vocabulary, sizes.dim, name="embed")(ids)
        if self.scan:
            layers = nn.scan(Scanned, variable_axes={"params": 0}, split_rngs={"params": True}, length=sizes.layers)
            x, _ = layers(sizes.heads, name="layers")(x, None)
        else:
            for number in range(sizes.layers):
                x = Block(sizes.heads, name=f"block_{number}")(x)
        return nn.Dense(sizes.vocabulary, use_bias=False, name="unembed")(nn.LayerNorm(name="norm")(x))


def captured(model: nn.Module) -> Any:
    """Linen's own capture: of every block, what it returns."""

    def run(weights: Any, tokens: Array) -> Any:
        return model.apply(
            weights, tokens, capture_intermediates=lambda module, _: isinstance(module, Block), mutable="intermediates"
        )

    return run


def _built(name: str, sizes: Sizes, scan: bool) -> Subject:
    model = Transformer(sizes, scan)
    weights = model.init(jax.random.key(0), ids(sizes))
    return Subject(name, model, weights, model.apply, weights, captured(model), "linen's capture_intermediates")


def unrolled(sizes: Sizes) -> Subject:
    return _built("linen", sizes, scan=False)


def scanned(sizes: Sizes) -> Subject:
    return _built("linen scan", sizes, scan=True)
