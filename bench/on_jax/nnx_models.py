"""The transformer in flax.nnx, blocks in a list."""

from typing import Any

from flax import nnx
from jax import Array

from on_jax.sizes import Sizes, attend
from on_jax.subject import Subject


class Attention(nnx.Module):
    def __init__(self, sizes: Sizes, rngs: nnx.Rngs) -> None:
        self.heads = sizes.heads
        self.q, self.k, self.v, self.o = (nnx.Linear(sizes.dim, sizes.dim, rngs=rngs) for _ in range(4))

    def __call__(self, x: Array) -> Array:
        return self.o(attend(self.q(x), self.k(x), self.v(x), self.heads))


class Mlp(nnx.Module):
    def __init__(self, sizes: Sizes, rngs: nnx.Rngs) -> None:
        self.up = nnx.Linear(sizes.dim, 4 * sizes.dim, rngs=rngs)
        self.down = nnx.Linear(4 * sizes.dim, sizes.dim, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.down(nnx.gelu(self.up(x)))


class Block(nnx.Module):
    def __init__(self, sizes: Sizes, rngs: nnx.Rngs) -> None:
        self.norm1, self.norm2 = (nnx.LayerNorm(sizes.dim, rngs=rngs) for _ in range(2))
        self.attn, self.mlp = Attention(sizes, rngs), Mlp(sizes, rngs)

    def __call__(self, x: Array) -> Array:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nnx.Module):
    def __init__(self, sizes: Sizes, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Embed(sizes.vocabulary, sizes.dim, rngs=rngs)
        self.blocks = nnx.List([Block(sizes, rngs) for _ in range(sizes.layers)])
        self.norm = nnx.LayerNorm(sizes.dim, rngs=rngs)
        self.unembed = nnx.Linear(sizes.dim, sizes.vocabulary, use_bias=False, rngs=rngs)

    def __call__(self, ids: Array) -> Array:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.unembed(self.norm(x))


def unrolled(sizes: Sizes) -> Subject:
    """The plain run merges the model's state under `jax.jit`, which is faster than `nnx.jit`."""
    model = Transformer(sizes, nnx.Rngs(0))
    graph, state = nnx.split(model)

    def apply(state: Any, ids: Array) -> Array:
        return nnx.merge(graph, state)(ids)

    def captured(state: Any, ids: Array) -> Any:
        """nnx's own capture knows no choice: of every method of every module, what it returns."""
        return nnx.capture(nnx.merge(graph, state), nnx.Intermediate, method_outputs=nnx.Intermediate)(ids)

    return Subject("nnx", model, None, apply, state, captured, "nnx.capture")
