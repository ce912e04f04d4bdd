"""The transformer in Haiku, blocks under `layer_stack`."""

import haiku as hk
import jax
from jax import Array

from on_jax.sizes import Sizes, attend, ids
from on_jax.subject import Subject


class Attention(hk.Module):
    def __init__(self, heads: int, name: str | None = None) -> None:
        super().__init__(name=name)
        self.heads = heads

    def __call__(self, x: Array) -> Array:
        dim = x.shape[-1]
        q, k, v = (hk.Linear(dim, name=name)(x) for name in ("q", "k", "v"))
        return hk.Linear(dim, name="o")(attend(q, k, v, self.heads))


class Mlp(hk.Module):
    def __call__(self, x: Array) -> Array:
        return hk.Linear(x.shape[-1], name="down")(jax.nn.gelu(hk.Linear(4 * x.shape[-1], name="up")(x)))


def norm(name: str) -> hk.LayerNorm:
    # Made in a function and not in a method, whose name Haiku would put into the path.
    return hk.LayerNorm(axis=-1, create_scale=True, create_offset=True, name=name)


class Block(hk.Module):
    def __init__(self, heads: int, name: str | None = None) -> None:
        super().__init__(name=name)
        self.heads = heads

    def __call__(self, x: Array) -> Array:
        x = x + Attention(self.heads, name="attn")(norm("norm1")(x))
        return x + Mlp(name="mlp")(norm("norm2")(x))


class Transformer(hk.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes

    def __call__(self, ids: Array) -> Array:
        sizes = self.sizes
        x = hk.Embed(sizes.vocabulary, sizes.dim, name="embed")(ids)
        x = hk.experimental.layer_stack(sizes.layers)(lambda x: Block(sizes.heads)(x))(x)
        return hk.Linear(sizes.vocabulary, with_bias=False, name="unembed")(norm("norm")(x))


def stacked(sizes: Sizes) -> Subject:
    model = hk.without_apply_rng(hk.transform(lambda ids: Transformer(sizes)(ids)))
    weights = model.init(jax.random.key(0), ids(sizes))
    return Subject("haiku stack", model, weights, model.apply, weights, None, "capture by side effect fails in a scan")
