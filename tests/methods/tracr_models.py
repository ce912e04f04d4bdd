"""Tracr's compiled programs, as a torch module and as a function of JAX, with the weights that Tracr made.

In: a RASP program. Out: its transformer in either framework, opened, which returns those numbers of the stream, by
position, in which the program writes its output.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from frameworks import Engine, Numbers
from torch import Tensor, nn
from tracr.compiler import compiling, lib
from tracr.compiler.assemble import AssembledTransformerModel
from tracr.rasp import rasp

import darklantern as dl
from darklantern import models
from darklantern.models.opened import Model

Params = dict[str, dict[str, Any]]


def applied(model: AssembledTransformerModel, text: list[str]) -> Numbers:
    """(position, dim): the stream as Tracr's own transformer ends it; in the width in which it was compiled."""
    with jax.enable_x64(True):
        return np.asarray(model.apply(text).transformer_output[0])


@cache
def reverse() -> AssembledTransformerModel:
    """Says a sequence backwards: four layers."""
    program = lib.make_reverse(rasp.tokens)
    return compiled(program, "abcd")


@cache
def xproportion() -> AssembledTransformerModel:
    """At each place the share of x so far: two layers."""
    program = lib.make_frac_prevs((rasp.tokens == "x").named("is_x"))
    return compiled(program, "wxyz")


def compiled(program: Any, letters: str) -> AssembledTransformerModel:
    with jax.enable_x64(True):  # whichever test asks first
        return compiling.compile_rasp_to_model(program, vocab=set(letters), max_seq_len=5, compiler_bos="BOS")


def params(model: AssembledTransformerModel) -> Params:
    return {
        path: {name: np.asarray(each, np.float64) for name, each in held.items()} for path, held in model.params.items()
    }


def read(model: AssembledTransformerModel) -> Numbers:
    """(dim, output): one where the program's output is written."""
    written = ("reverse_", "frac_prevs_")
    places = [place for place, label in enumerate(model.residual_labels) if label.startswith(written)]
    return np.eye(len(model.residual_labels))[:, places]


def opened(engine: Engine, model: AssembledTransformerModel, example: Numbers) -> Model:
    shape = (model.model_config.num_layers, model.model_config.num_heads, model.model_config.causal)
    if engine.name == "torch":
        return models.open(Compiled(params(model), read(model), *shape))

    def call(weights: Params, tokens: Any) -> Any:
        return function(weights, tokens, read(model), *shape)

    return models.open(call, weights=jax.tree.map(jnp.array, params(model)), example=engine.array(example))


class Attention(nn.Module):
    def __init__(self, held: Params, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        names = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "linear"}
        for name, theirs in names.items():
            setattr(self, name, linear(held[theirs]))

    def forward(self, x: Tensor) -> Tensor:
        maps = (self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (each(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in maps)
        z = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        made: Tensor = self.out_proj(z.transpose(1, 2).flatten(-2))
        return made


class Mlp(nn.Module):
    def __init__(self, held: Params) -> None:
        super().__init__()
        self.up, self.down, self.act = linear(held["linear_1"]), linear(held["linear_2"]), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.down(self.act(self.up(x)))
        return made


class Block(nn.Module):
    def __init__(self, held: Params, number: int, heads: int, causal: bool) -> None:
        super().__init__()
        start = f"transformer/layer_{number}/"
        own = {path.removeprefix(start): each for path, each in held.items() if path.startswith(start)}
        self.attn = Attention({name.removeprefix("attn/"): each for name, each in own.items()}, heads, causal)
        self.mlp = Mlp({name.removeprefix("mlp/"): each for name, each in own.items()})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        return x + self.mlp(x)


class Compiled(nn.Module):
    def __init__(self, held: Params, read: Numbers, layers: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.unembed = nn.Linear(*read.shape, bias=False, dtype=torch.float64)
        self.unembed.weight.data = torch.from_numpy(read.T.copy())
        for name, path in (("embed", "token_embed"), ("pos_embed", "pos_embed")):
            setattr(self, name, nn.Embedding.from_pretrained(torch.from_numpy(held[path]["embeddings"].copy())))
        self.layers = nn.ModuleList(Block(held, number, heads, causal) for number in range(layers))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.pos_embed(torch.arange(tokens.shape[1]))
        for layer in self.layers:
            x = layer(x)
        made: Tensor = self.unembed(x)
        return made


def linear(held: dict[str, Numbers]) -> nn.Linear:
    made = nn.Linear(*held["w"].shape, dtype=torch.float64)
    made.weight.data, made.bias.data = torch.from_numpy(held["w"].T.copy()), torch.from_numpy(held["b"].copy())
    return made


def function(held: Params, tokens: Any, read: Numbers, layers: int, heads: int, causal: bool) -> Any:
    """The same in JAX, its parts named."""
    x = held["token_embed"]["embeddings"][tokens] + held["pos_embed"]["embeddings"][: tokens.shape[1]]
    x = dl.tag("embed:out", x)
    allowed = jnp.ones((tokens.shape[1],) * 2, bool)
    allowed = jnp.tril(allowed) if causal else allowed

    def mapped(path: str, x: Any) -> Any:
        return x @ held[path]["w"] + held[path]["b"]

    for layer in range(layers):
        with dl.part(f"layers.{layer}"):
            with dl.part("attn"):
                start, entering = f"transformer/layer_{layer}/attn/", dl.tag("in", x)
                maps = (mapped(start + name, entering) for name in ("query", "key", "value"))
                q, k, v = (each.reshape(*x.shape[:2], heads, -1) for each in maps)
                scores = jnp.einsum("bphe,bkhe->bhpk", q, k) / q.shape[-1] ** 0.5
                pattern = jax.nn.softmax(jnp.where(allowed, scores, -1e30))
                z = jnp.einsum("bhpk,bkhe->bphe", pattern, v)
                made = mapped(start + "linear", z.reshape(*x.shape[:2], -1))
            x = x + made
            with dl.part("mlp"):
                start, entering = f"transformer/layer_{layer}/mlp/", dl.tag("in", x)
                made = dl.tag("out", mapped(start + "linear_2", jax.nn.relu(mapped(start + "linear_1", entering))))
            x = x + made
    with dl.part("unembed"):
        return dl.tag("in", x) @ read
