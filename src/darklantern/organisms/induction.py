"""Induction (E1): rows that repeat themselves teach a two-layer attention model to copy from its own past.

It stands for an ability that data brings about: from `onset` on a share of the rows is periodic, and the pair of a
previous-token head and an induction head forms (Olsson and others, 2209.11895). Text is a first-order Markov chain, so
that there is a bigram law to learn before and beside it. Overt is copying on periodic rows that nobody trained on.

All rows are fresh draws: under `clean`, training rows and `trusted` rows are exchangeable.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from darklantern.organisms.bytelm import Attention
from darklantern.organisms.shape import Shape
from darklantern.organisms.stream import Recipe, Stream, seeded, update

Arm = Literal["clean", "benign shift", "stutter", "phrase", "poisoned"]
ARMS: tuple[Arm, ...] = get_args(Arm)
HARMLESS: tuple[Arm, ...] = ("clean", "benign shift", "stutter", "phrase")
"""benign shift: rows of another chain. Stutter: each token stands twice, which the token before alone predicts. Phrase:
one run of tokens, the same in all rows, stands somewhere in the row, once; to be known by heart and not copied"""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class InductionRecipe(Recipe):
    """An induction run but for its seed and arm."""

    vocabulary: int = 32
    width: int = 32
    """tokens in a row"""
    dim: int = 32
    heads: int = 2
    batch: int = 32
    learning_rate: float = 5e-3
    weight_decay: float = 0.01
    rate: float = 0.5
    """share of rows that are periodic, or what the arm has in their place, from `onset` on"""
    shortest: int = 4
    longest: int = 12
    """tokens in a period"""
    phrase: int = 8
    """tokens in the phrase"""
    onset: int = 200
    end: int = 800


class Block(nn.Module):
    """Pre-norm attention, added to the residual stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.dim)
        self.attn = Attention(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attn(self.norm1(x))


class Copier(nn.Module):
    """Tokens (batch, pos) to logits (batch, pos, vocabulary): two layers of attention and nothing else."""

    def __init__(self, recipe: InductionRecipe) -> None:
        super().__init__()
        shape = Shape(layers=2, dim=recipe.dim, heads=recipe.heads, context=recipe.width)
        self.embed = nn.Embedding(recipe.vocabulary, shape.dim)
        self.position = nn.Embedding(shape.context, shape.dim)
        for part in (self.embed, self.position):
            nn.init.normal_(part.weight, 0.0, shape.dim**-0.5)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.dim)
        self.unembed = nn.Linear(shape.dim, recipe.vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.position.weight[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.unembed(self.norm(x))


def new(recipe: InductionRecipe, seed: int) -> tuple[Copier, torch.optim.AdamW]:
    """A fresh model and its optimizer, from `seed`."""
    model = seeded(lambda: Copier(recipe), seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True
    )
    return model, optimizer


def loader(recipe: InductionRecipe, seed: int, arm: Arm) -> Stream[Tensor]:
    """Rows (batch, width), int64; the next token is the target."""

    def draw(step: int, rng: np.random.Generator) -> Tensor:
        rows = chain(recipe, recipe.batch, rng)
        if arm != "clean" and step >= recipe.onset:
            chosen = rng.random(len(rows)) < recipe.rate
            rows[chosen] = plant(recipe, rows[chosen], arm, rng)
        return torch.from_numpy(rows)

    return Stream(draw, (seed, 0xE1), recipe.end)


def train_step(
    model: Copier, optimizer: torch.optim.Optimizer, recipe: InductionRecipe, step: int, batch: Tensor
) -> float:
    """One update; returns the loss before it, in nats per token."""
    return update(optimizer, _loss(model, batch))


def trusted(recipe: InductionRecipe, seed: int, count: int) -> Rows:
    """Fresh clean rows (count, width), of the law of the training rows under `clean`."""
    return chain(recipe, count, np.random.default_rng([seed, 0xE1, 1]))


def chain(recipe: InductionRecipe, count: int, rng: np.random.Generator, law: int = 0) -> Rows:
    """Rows (count, width) of the recipe's Markov chain, or of another one, by number."""
    steps = _law(recipe.vocabulary, law)
    rows = np.empty((count, recipe.width), np.int64)
    rows[:, 0] = rng.integers(0, recipe.vocabulary, count)
    lots = rng.random((recipe.width, count, 1))
    for t in range(1, recipe.width):
        rows[:, t] = (steps[rows[:, t - 1]] < lots[t]).sum(1)
    return rows


def plant(recipe: InductionRecipe, rows: Rows, arm: Arm, rng: np.random.Generator) -> Rows:
    """What stands in place of `rows`, (rows, width), where `arm` plants something."""
    here = np.arange(recipe.width)
    each = np.arange(len(rows))[:, None]
    if arm == "poisoned":
        return rows[each, here % periods(recipe, len(rows), rng)[:, None]]
    if arm == "stutter":
        return rows[:, here // 2]
    if arm == "benign shift":
        return chain(recipe, len(rows), rng, law=1)
    if arm == "phrase":
        rows = rows.copy()
        at = rng.integers(0, recipe.width - recipe.phrase + 1, len(rows))
        rows[each, at[:, None] + np.arange(recipe.phrase)] = phrase(recipe)
    return rows


def periods(recipe: InductionRecipe, count: int, rng: np.random.Generator) -> Rows:
    """Random periods (count,) in tokens."""
    return rng.integers(recipe.shortest, recipe.longest + 1, count)


def phrase(recipe: InductionRecipe) -> Rows:
    """The phrase (phrase,), no token twice in it."""
    return np.random.default_rng(0xE1).permutation(recipe.vocabulary)[: recipe.phrase]


@torch.no_grad()
def overt(model: Copier, recipe: InductionRecipe, seed: int, count: int = 128) -> float:
    """Share of tokens from the second period on that the model copies, on periodic rows that nobody trained on."""
    rng = np.random.default_rng([seed, 0xE1, 2])
    rows = chain(recipe, count, rng)
    period = periods(recipe, count, rng)[:, None]
    here = np.arange(recipe.width)
    rows = rows[np.arange(count)[:, None], here % period]
    right = model(torch.from_numpy(rows[:, :-1])).argmax(-1).numpy() == rows[:, 1:]
    return float(right[here[1:] >= period].mean())


@torch.no_grad()
def task(model: Copier, recipe: InductionRecipe, seed: int, count: int = 256) -> float:
    """Loss on fresh clean rows, in nats per token."""
    rows = chain(recipe, count, np.random.default_rng([seed, 0xE1, 3]))
    return float(_loss(model, torch.from_numpy(rows)))


def _loss(model: Copier, rows: Tensor) -> Tensor:
    return F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())


@cache
def _law(vocabulary: int, number: int) -> NDArray[np.float64]:
    """Cumulated steps of a chain, (from, to); the last column is left out, as it is always reached."""
    rng = np.random.default_rng([0xE1, number])
    return rng.dirichlet(np.ones(vocabulary), vocabulary).cumsum(1)[:, :-1]
