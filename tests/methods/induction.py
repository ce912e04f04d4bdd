"""A hand-built induction circuit: two layers of attention, no norm, no MLP, weights in closed form.

The stream has four fields: the token, its position, and, written by the first layer's head 0, the token before. Head 0
of layer 1 asks for places that came after this token, and copies what stands there to the logits. Head 1 of each layer
looks everywhere alike and copies a little of the token field into a field that nobody reads.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from frameworks import Engine, Numbers
from torch import Tensor, nn

import darklantern as dl
from darklantern import models
from darklantern.models.opened import Model

VOCABULARY, LENGTH = 7, 9
DIM = 3 * VOCABULARY + LENGTH + VOCABULARY
TOKEN, PREVIOUS, COPIED, PLACE, IDLE = (
    slice(0, VOCABULARY), slice(VOCABULARY, 2 * VOCABULARY), slice(2 * VOCABULARY, 3 * VOCABULARY),
    slice(3 * VOCABULARY, 3 * VOCABULARY + LENGTH), slice(3 * VOCABULARY + LENGTH, DIM),
)  # fmt: skip
HEADS, WIDE = 2, LENGTH
PREVIOUS_HEAD, INDUCTION_HEAD = "layers.0.attn:result[head=0]", "layers.1.attn:result[head=0]"
SHARP = 60.0


def weights() -> dict[str, Numbers]:
    """Queries, keys, values (layer, head, dim, wide), outputs (layer, head, wide, dim), and the embeddings."""
    made = {name: np.zeros((2, HEADS, DIM, WIDE)) for name in ("q", "k", "v")}
    out = np.zeros((2, HEADS, WIDE, DIM))
    some = np.eye(VOCABULARY, WIDE)
    places = np.eye(LENGTH)
    # Position p asks for position p - 1.
    made["q"][0, 0, PLACE] = SHARP * np.roll(places, -1, 1)
    made["k"][0, 0, PLACE] = places
    made["v"][0, 0, TOKEN], out[0, 0, :, PREVIOUS] = some, some.T
    # A token asks for where it is the token before.
    made["q"][1, 0, TOKEN], made["k"][1, 0, PREVIOUS] = SHARP * some, some
    made["v"][1, 0, TOKEN], out[1, 0, :, COPIED] = some, some.T
    for layer in range(2):
        made["v"][layer, 1, TOKEN], out[layer, 1, :, IDLE] = some, some.T
    unembed = np.zeros((DIM, VOCABULARY))
    unembed[COPIED] = 5 * np.eye(VOCABULARY)
    embed, place = np.zeros((VOCABULARY, DIM)), np.zeros((LENGTH, DIM))
    embed[:, TOKEN], place[:, PLACE] = np.eye(VOCABULARY), places
    return {**made, "out": out, "embed": embed, "place": place, "unembed": unembed}


def linear_weights() -> dict[str, Numbers]:
    """Of as large a model whose heads look everywhere alike: it is linear."""
    rng = np.random.default_rng(7)
    made = {name: rng.normal(size=each.shape) / 3 for name, each in weights().items()}
    return {**made, "q": np.zeros_like(made["q"]), "k": np.zeros_like(made["k"])}


class Attention(nn.Module):
    def __init__(self, held: dict[str, Numbers], layer: int) -> None:
        super().__init__()
        for name in ("q", "k", "v"):
            kernel = held[name][layer].transpose(0, 2, 1).reshape(HEADS * WIDE, DIM)
            setattr(self, f"{name}_proj", linear(kernel))
        self.out_proj = linear(held["out"][layer].reshape(HEADS * WIDE, DIM).T)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            each(x).unflatten(-1, (HEADS, WIDE)).transpose(1, 2) for each in (self.q_proj, self.k_proj, self.v_proj)
        )
        z = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
        made: Tensor = self.out_proj(z.transpose(1, 2).flatten(-2))
        return made


class Block(nn.Module):
    def __init__(self, held: dict[str, Numbers], layer: int) -> None:
        super().__init__()
        self.attn = Attention(held, layer)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attn(x)


class Induction(nn.Module):
    def __init__(self, held: dict[str, Numbers]) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, DIM, _weight=torch.from_numpy(held["embed"]))
        self.place = nn.Parameter(torch.from_numpy(held["place"]))
        self.layers = nn.ModuleList(Block(held, layer) for layer in range(2))
        self.unembed = linear(held["unembed"].T)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.place[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        made: Tensor = self.unembed(x)
        return made


def linear(kernel: Numbers) -> nn.Linear:
    made = nn.Linear(kernel.shape[1], kernel.shape[0], bias=False, dtype=torch.float64)
    made.weight.data = torch.from_numpy(np.ascontiguousarray(kernel))
    return made


def function(params: dict[str, Any], tokens: Any) -> Any:
    """The same as a plain function of JAX, whose parts are named in its code."""
    x = dl.tag("embed:out", params["embed"][tokens] + params["place"][: tokens.shape[1]])
    causal = jnp.tril(jnp.ones((tokens.shape[1],) * 2, bool))
    for layer in range(2):
        with dl.part(f"layers.{layer}"), dl.part("attn"):
            entering = dl.tag("in", x)
            q, k, v = (jnp.einsum("bpd,hdw->bphw", entering, params[name][layer]) for name in ("q", "k", "v"))
            scores = jnp.where(causal, jnp.einsum("bphw,bkhw->bhpk", q, k), -jnp.inf)
            z = jnp.einsum("bhpk,bkhw->bphw", jax.nn.softmax(scores), v)
            made = z.reshape(*z.shape[:2], -1) @ params["out"][layer].reshape(HEADS * WIDE, DIM)
        x = x + made
    with dl.part("unembed"):
        return dl.tag("in", x) @ params["unembed"]


def opened(engine: Engine, held: dict[str, Numbers] | None = None) -> Model:
    held = held or weights()
    if engine.name == "torch":
        return models.open(Induction(held))
    return models.open(function, weights=jax.tree.map(jnp.array, held), example=engine.array(prompts()[0]))


def prompts() -> tuple[Numbers, Numbers, Numbers]:
    """Clean and corrupt prompts, and answers: `… A B … A` → B; in the corrupt ones another token stands before B."""
    clean = np.array([[5, 2, 3, 6, 1, 0, 4, 6, 2], [0, 1, 4, 2, 3, 5, 6, 2, 1]])
    corrupt, answer = clean.copy(), np.array([3, 4])
    corrupt[0, 1], corrupt[1, 1] = 5, 0
    return clean, corrupt, answer
