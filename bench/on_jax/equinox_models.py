"""The transformer in Equinox, blocks stacked under `lax.scan`."""

from typing import Any

import equinox as eqx
import jax
from jax import Array, lax

from on_jax.sizes import Sizes, attend
from on_jax.subject import Subject


class Attention(eqx.Module):
    q: eqx.nn.Linear
    k: eqx.nn.Linear
    v: eqx.nn.Linear
    o: eqx.nn.Linear
    heads: int = eqx.field(static=True)

    def __init__(self, sizes: Sizes, key: Array) -> None:
        keys = jax.random.split(key, 4)
        self.q, self.k, self.v, self.o = (eqx.nn.Linear(sizes.dim, sizes.dim, key=each) for each in keys)
        self.heads = sizes.heads

    def __call__(self, x: Array) -> Array:
        q, k, v = (jax.vmap(each)(x) for each in (self.q, self.k, self.v))
        return jax.vmap(self.o)(attend(q, k, v, self.heads))


class Mlp(eqx.Module):
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, sizes: Sizes, key: Array) -> None:
        keys = jax.random.split(key)
        self.up = eqx.nn.Linear(sizes.dim, 4 * sizes.dim, key=keys[0])
        self.down = eqx.nn.Linear(4 * sizes.dim, sizes.dim, key=keys[1])

    def __call__(self, x: Array) -> Array:
        return self.down(jax.nn.gelu(self.up(x)))


class Block(eqx.Module):
    norm1: eqx.nn.LayerNorm
    attn: Attention
    norm2: eqx.nn.LayerNorm
    mlp: Mlp

    def __init__(self, sizes: Sizes, key: Array) -> None:
        keys = jax.random.split(key)
        self.norm1, self.norm2 = eqx.nn.LayerNorm(sizes.dim), eqx.nn.LayerNorm(sizes.dim)
        self.attn, self.mlp = Attention(sizes, keys[0]), Mlp(sizes, keys[1])

    def __call__(self, x: Array) -> Array:
        x = x + self.attn(jax.vmap(self.norm1)(x))
        return x + jax.vmap(self.mlp)(jax.vmap(self.norm2)(x))


class Transformer(eqx.Module):
    """For one example; called under vmap."""

    embed: eqx.nn.Embedding
    blocks: Block
    norm: eqx.nn.LayerNorm
    unembed: eqx.nn.Linear

    def __init__(self, sizes: Sizes, key: Array) -> None:
        keys = jax.random.split(key, 3)
        self.embed = eqx.nn.Embedding(sizes.vocabulary, sizes.dim, key=keys[0])
        self.blocks = eqx.filter_vmap(lambda key: Block(sizes, key))(jax.random.split(keys[1], sizes.layers))
        self.norm = eqx.nn.LayerNorm(sizes.dim)
        self.unembed = eqx.nn.Linear(sizes.dim, sizes.vocabulary, use_bias=False, key=keys[2])

    def __call__(self, ids: Array) -> Array:
        arrays, static = eqx.partition(self.blocks, eqx.is_array)
        x = jax.vmap(self.embed)(ids)
        x, _ = lax.scan(lambda x, each: (eqx.combine(each, static)(x), None), x, arrays)
        return jax.vmap(self.unembed)(jax.vmap(self.norm)(x))


def called(model: Transformer, ids: Array) -> Array:
    return jax.vmap(model)(ids)


def scanned(sizes: Sizes) -> Subject:
    """The plain run has the arrays as its argument under `jax.jit`, which is faster than `eqx.filter_jit`."""
    model = Transformer(sizes, jax.random.key(0))
    arrays, static = eqx.partition(model, eqx.is_array)

    def apply(arrays: Any, ids: Array) -> Array:
        return called(eqx.combine(arrays, static), ids)

    return Subject("equinox scan", model, None, apply, arrays, None, "Equinox has no capture of its own", call=called)
