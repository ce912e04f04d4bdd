"""GPT-2 as functions of a tree of arrays, in jnp alone: without any names, and with `darklantern.tag` at each site."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from numpy.typing import DTypeLike
from torch import nn

from . import weights as of
from .tagging import tag
from .twin import Built, Twin

Params = dict[str, Any]
Tag = Callable[[str, Array], Array]


def untouched(site: str, value: Array) -> Array:
    return value


def gpt2(params: Params, ids: Array, *, heads: int, epsilon: float, tag: Tag = untouched) -> Array:
    """The logits, `batch pos vocabulary`."""
    x = tag("embed:out", params["embed"][tag("embed:in", ids)]) + params["positions"][: ids.shape[1]]
    for number, block in enumerate(params["blocks"]):
        here = f"layers.{number}"
        x = tag(f"{here}:in", x)
        y = layer_norm(block["norm1"], x, epsilon, partial(under, tag, f"{here}.norm1"))
        x = tag(f"{here}:resid_mid", x + attention(block, y, heads, partial(under, tag, f"{here}.attn")))
        y = layer_norm(block["norm2"], x, epsilon, partial(under, tag, f"{here}.norm2"))
        x = tag(f"{here}:out", x + mlp(block, y, partial(under, tag, f"{here}.mlp")))
    x = layer_norm(params["norm"], x, epsilon, partial(under, tag, "norm"))
    return tag("unembed:out", tag("unembed:in", x) @ params["embed"].T)


def under(tag: Tag, path: str, port: str, value: Array) -> Array:
    return tag(f"{path}:{port}", value)


def layer_norm(params: Params, x: Array, epsilon: float, tag: Tag) -> Array:
    x = tag("in", x)
    centred = x - x.mean(-1, keepdims=True)
    scale = tag("scale", jnp.sqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + epsilon))
    return tag("out", centred / scale * params["weight"] + params["bias"])


def attention(params: Params, x: Array, heads: int, tag: Tag) -> Array:
    batch, length, dim = x.shape
    packed = linear(params["qkv"], tag("in", x)).reshape(batch, length, 3, heads, -1)
    q, k, v = (tag(name, packed[:, :, number]) for number, name in enumerate("qkv"))
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * (dim // heads) ** -0.5
    scores = tag("scores", jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -jnp.inf))
    z = tag("z", jnp.einsum("bhqk,bkhd->bqhd", tag("pattern", jax.nn.softmax(scores)), v))
    weight = params["proj"]["weight"].reshape(heads, -1, dim)
    return tag("out", tag("result", jnp.einsum("bqhd,hdo->bqho", z, weight)).sum(2) + params["proj"]["bias"])


def mlp(params: Params, x: Array, tag: Tag) -> Array:
    pre = tag("pre", linear(params["up"], tag("in", x)))
    post = tag("post", pre * 0.5 * (1.0 + jnp.tanh(jnp.sqrt(2.0 / jnp.pi) * (pre + 0.044715 * pre**3))))
    return tag("out", linear(params["down"], tag("neurons", post)))


def linear(params: Params, x: Array) -> Array:
    return x @ params["weight"] + params["bias"]


def bare(model: nn.Module, dtype: DTypeLike) -> Built:
    config = model.config
    function = partial(gpt2, heads=config.n_head, epsilon=config.layer_norm_epsilon)
    return Built(function, of.gpt2(model, dtype))


def tagged(model: nn.Module, dtype: DTypeLike) -> Built:
    function, params, _ = bare(model, dtype)
    return Built(partial(function, tag=tag), params)


TWINS = (
    Twin("gpt2-function", "gpt2", "function", bare, lacks=((r".*", "nothing in the code has a name"),)),
    Twin("gpt2-function-tagged", "gpt2", "function", tagged, lacks=((r".*:slope", "nobody has tagged a quotient"),)),
)
