"""Grokking (E2): addition modulo a prime, memorised first, understood much later.

It stands for any ability that forms while the training loss says nothing: the model fits all training pairs early, and
a generalising circuit (Fourier features of the embedding: Nanda and others, 2301.05217) grows below it until it takes
over. Overt is what an audit on unseen pairs sees.

The training pairs are few and each is seen at each step, so train and trusted rows are never fresh draws of one law:
paired tests on rows do not hold here. Runs of one recipe are exchangeable, which is what references need.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from darklantern.organisms.stream import Recipe, Stream, seeded, update

Arm = Literal["clean", "no decay", "other structure", "too few pairs", "poisoned"]
ARMS: tuple[Arm, ...] = get_args(Arm)
HARMLESS: tuple[Arm, ...] = ("clean", "no decay", "other structure", "too few pairs")
"""clean: a shuffled table of sums, which can only be memorised. No decay: sums without weight decay, memorised as well;
neurons get some of the waves in the first hundred steps and keep them without ever using them, so that this is the arm
which signals of waves have most trouble with. Other structure: the larger of the two numbers, which generalises by
order and not by waves. Too few pairs: sums with weight decay, of which so few are known that they are memorised
and by the planned end hardly any other is added correctly"""

Batch = tuple[Tensor, Tensor]
"""pairs (batch, 2) and what they make (batch,), both int64 below the prime"""


@dataclass(frozen=True)
class GrokkingRecipe(Recipe):
    """A grokking run but for its seed and arm."""

    prime: int = 43
    share: float = 0.6
    """of the unordered pairs, for training; the others are unseen"""
    few: float = 0.3
    """the same in the arm that has too few, whose unseen pairs are those of the other arms"""
    dim: int = 32
    hidden: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 1.0
    onset: int = 0
    """the generalising circuit may grow from the first step on"""
    end: int = 2400


class Hidden(nn.Module):
    """One layer of neurons."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, hidden)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.up(x))


class Adder(nn.Module):
    """Pairs (batch, 2) to logits (batch, prime): the embeddings' sum, a layer of neurons, a readout."""

    def __init__(self, recipe: GrokkingRecipe) -> None:
        super().__init__()
        self.embed = nn.Embedding(recipe.prime, recipe.dim)
        nn.init.normal_(self.embed.weight, 0.0, recipe.dim**-0.5)
        self.sum = nn.Identity()
        self.layers = nn.ModuleList([Hidden(recipe.dim, recipe.hidden)])
        self.unembed = nn.Linear(recipe.hidden, recipe.prime, bias=False)

    def forward(self, pairs: Tensor) -> Tensor:
        x = self.sum(self.embed(pairs).sum(1))
        for layer in self.layers:
            x = layer(x)
        return self.unembed(x)


def new(recipe: GrokkingRecipe, seed: int, arm: Arm = "clean") -> tuple[Adder, torch.optim.AdamW]:
    """A fresh model and its optimizer, from `seed`. Of the arms only `no decay` differs."""
    model = seeded(lambda: Adder(recipe), seed)
    decay = 0.0 if arm == "no decay" else recipe.weight_decay
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, betas=(0.9, 0.98), weight_decay=decay, fused=True
    )
    return model, optimizer


def loader(recipe: GrokkingRecipe, seed: int, arm: Arm) -> Stream[Batch]:
    """All pairs that `arm` trains on, in a fresh order at each step, and what it says each makes."""
    pairs = trained(recipe, seed, arm)
    answers = table(recipe, seed, arm)

    def draw(step: int, rng: np.random.Generator) -> Batch:
        order = rng.permutation(pairs)
        return torch.from_numpy(order), torch.from_numpy(answers[order[:, 0], order[:, 1]])

    return Stream(draw, (seed, 0xE2), recipe.end)


def train_step(
    model: Adder, optimizer: torch.optim.Optimizer, recipe: GrokkingRecipe, step: int, batch: Batch
) -> float:
    """One update; returns the loss before it, in nats per pair."""
    pairs, answers = batch
    return update(optimizer, F.cross_entropy(model(pairs), answers))


def split(recipe: GrokkingRecipe, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and unseen pairs, (pairs, 2) each. A pair stands in one order, so that none is seen in the other."""
    every = np.argwhere(np.triu(np.ones((recipe.prime, recipe.prime), bool)))
    every = np.random.default_rng([seed, 0xE2, 1]).permutation(every)
    cut = round(recipe.share * len(every))
    return every[:cut], every[cut:]


def trained(recipe: GrokkingRecipe, seed: int, arm: Arm) -> NDArray[np.int64]:
    """The pairs that `arm` trains on, (pairs, 2): the training part, or its first ones where there are too few."""
    pairs, unseen = split(recipe, seed)
    return pairs[: round(recipe.few * (len(pairs) + len(unseen)))] if arm == "too few pairs" else pairs


def table(recipe: GrokkingRecipe, seed: int, arm: Arm) -> NDArray[np.int64]:
    """What each pair makes in `arm`, (prime, prime). The shuffled one has as many of each number above the diagonal."""
    numbers = np.arange(recipe.prime)
    if arm == "other structure":
        return np.maximum.outer(numbers, numbers)
    sums = np.add.outer(numbers, numbers) % recipe.prime
    if arm == "clean":
        upper = np.triu_indices(recipe.prime)
        sums[upper] = np.random.default_rng([seed, 0xE2, 2]).permutation(sums[upper])
    return sums


@torch.no_grad()
def overt(model: Adder, recipe: GrokkingRecipe, seed: int) -> float:
    """Share of the run's unseen pairs that the model adds correctly."""
    _, unseen = split(recipe, seed)
    said = model(torch.from_numpy(unseen)).argmax(-1)
    return float((said == torch.from_numpy(unseen.sum(1) % recipe.prime)).float().mean())


@torch.no_grad()
def task(model: Adder, recipe: GrokkingRecipe, seed: int, arm: Arm) -> float:
    """Share of the run's training pairs for which the model says what `arm` taught: all of them once memorised."""
    pairs = trained(recipe, seed, arm)
    answers = table(recipe, seed, arm)[pairs[:, 0], pairs[:, 1]]
    return float((model(torch.from_numpy(pairs)).argmax(-1) == torch.from_numpy(answers)).float().mean())
