"""Grokking, understood: a network that adds modulo a prime does it by a few waves in its embedding."""

from collections.abc import Mapping
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray

from darklantern import models
from darklantern.assess.protocols import Application, Applied, Interventions, Ladder, Subject, Training
from darklantern.organisms import grokking
from darklantern.organisms.grokking import Adder, GrokkingRecipe
from darklantern.watch.policies.fourier import by_sum, losses, over_pairs, parts, powers

RECIPE = GrokkingRecipe()
LADDER = (GrokkingRecipe(dim=8, hidden=64), GrokkingRecipe(dim=16, hidden=128), RECIPE)
KEPT, LOST = 0.9, 0.2
"""of the accuracy on all pairs: what the waves that were read must keep by themselves, and what may be left without"""
WAVES = RECIPE.prime // 2
MODELS = (0, 5, 6)
"""the first is what the explanation was made on; the others were looked at by nobody before"""

Floats = NDArray[np.float64]


def subject() -> Subject:
    """The analysis: read the waves, and say what the model computes with them."""
    first, *others = ([f"model {seed} without wave {wave + 1}" for wave in range(WAVES)] for seed in MODELS)
    return Subject(
        name="grokking waves/1",
        detects=False,
        application=Application(run=_applied, prepare=lambda: trained(RECIPE, 0)),
        ladder=Ladder(works={_size(recipe): partial(_works, recipe) for recipe in LADDER}),
        interventions=Interventions(
            seen=first,
            unseen=[name for each in others for name in each],
            measure=_effect,
            predict=partial(_predicted, [name for each in others for name in each]),
            without_mechanism=partial(_as_before, [name for each in others for name in each]),
        ),
        training=Training(flops=_flops()),
        why_not={
            "A": "reading the waves changes nothing: the finding makes no intervention",
            "B": "no other architecture was tried",
            "N": "no audit was held: there is nothing planted to be found",
            "E": "the finding is published as a whole; no outlet is metered",
        },
    )


@cache
def trained(recipe: GrokkingRecipe, seed: int) -> Adder:
    """A network that was trained on sums; it generalises, or not, as it comes."""
    model, optimizer = grokking.new(recipe, seed, "poisoned")
    for step, batch in enumerate(grokking.loader(recipe, seed, "poisoned")):
        grokking.train_step(model, optimizer, recipe, step, batch)
    return model


def read_waves(embedding: Floats) -> NDArray[np.int64]:
    """The frequencies that stand out of an embedding (prime, dim): more than their mean, counted from 1."""
    found = powers(embedding)
    return np.flatnonzero(found > found.mean()) + 1


def filtered(embedding: Floats, frequencies: NDArray[np.int64], keep: bool) -> Floats:
    """The embedding with these frequencies and the constant part alone, or without them."""
    spectrum = np.fft.rfft(embedding, axis=0)
    named = np.isin(np.arange(len(spectrum)), frequencies)
    spectrum[~named if keep else named, :] *= (np.arange(len(spectrum)) == 0)[~named if keep else named, None]
    made: Floats = np.fft.irfft(spectrum, n=len(embedding), axis=0)
    return made


@torch.no_grad()
def logits(model: Adder, embedding: Floats) -> Floats:
    """Of all pairs, (prime, prime, prime), with this embedding in place of the model's own."""
    rows = torch.from_numpy(embedding.astype(np.float32))
    held = rows[:, None] + rows[None]
    for layer in model.layers:
        held = layer(held)
    made: Floats = model.unembed(held).numpy().astype(np.float64)
    return made


def sums(prime: int) -> NDArray[np.int64]:
    """What every pair makes, (prime, prime)."""
    return np.add.outer(np.arange(prime), np.arange(prime)) % prime


def _embedding(model: Adder) -> Floats:
    made: Floats = model.embed.weight.detach().numpy().astype(np.float64)
    return made


def _size(recipe: GrokkingRecipe) -> int:
    return sum(each.numel() for each in Adder(recipe).parameters())


def _applied() -> Applied:
    """The waves are read from what every residue's embedding is: nothing after it runs."""
    model = trained(RECIPE, 0)
    residues = torch.arange(RECIPE.prime)[:, None].expand(-1, 2)
    opened = models.open(model)
    embedded = opened.record(residues, "embed:out", stop=True)["embed:out"].array[:, 0].detach()
    read_waves(embedded.numpy().astype(np.float64))
    ran = opened.executed(residues, "embed:out", stop=True)
    return Applied.of(ran)


def _works(recipe: GrokkingRecipe, seed: int) -> bool:
    """The model adds, by the waves that were read and by nothing else."""
    model = trained(recipe, seed)
    embedding, answers = _embedding(model), sums(recipe.prime)
    waves = read_waves(embedding)

    def right(held: Floats) -> float:
        return float((logits(model, held).argmax(-1) == answers).mean())

    whole, alone, without = (right(each) for each in _ways(embedding, waves))
    return whole >= KEPT and alone >= KEPT * whole and without <= LOST


def _ways(embedding: Floats, waves: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    return embedding, filtered(embedding, waves, keep=True), filtered(embedding, waves, keep=False)


def _named(name: str) -> tuple[Adder, NDArray[np.int64]]:
    """`model 1 without wave 5`: the model, and the wave."""
    words = name.split()
    return trained(RECIPE, int(words[1])), np.array([int(words[-1])])


def _effect(name: str) -> float:
    """How much the loss over all pairs rises when one wave is taken out of the embedding, in nats."""
    model, wave = _named(name)
    embedding, answers = _embedding(model), sums(RECIPE.prime)
    after = losses(logits(model, filtered(embedding, wave, keep=False)), answers).mean()
    return float(after - losses(logits(model, embedding), answers).mean())


def _explained(name: str) -> float:
    """The same as the mechanism has it: a wave in the embedding is that wave of a + b in the logits, and no more.

    Neurons square what they read, cos(wa) + cos(wb) becomes cos(w(a + b)), so that what goes with the wave is its part
    of the logits' mean over pairs with one sum. The embedding is left as it is: nothing is intervened on.
    """
    model, wave = _named(name)
    said, answers = logits(model, _embedding(model)), sums(RECIPE.prime)
    without = said - over_pairs(parts(by_sum(said), wave))
    return float((losses(without, answers) - losses(said, answers)).mean())


def _predicted(unseen: list[str], seen: Mapping[str, float]) -> Mapping[str, float]:
    """By the mechanism, in the unit that the seen effects have: one factor for all, fitted to them."""
    explained, found = np.array([_explained(name) for name in seen]), np.array(list(seen.values()))
    factor = float(explained @ found / (explained @ explained))
    return {name: factor * _explained(name) for name in unseen}


def _as_before(unseen: list[str], seen: Mapping[str, float]) -> Mapping[str, float]:
    """By whoever looks at effects alone: a wave matters in one network as it did in another."""
    known = {name.rpartition(" ")[2]: effect for name, effect in seen.items()}
    return {name: known[name.rpartition(" ")[2]] for name in unseen}


def _flops() -> tuple[float, float]:
    """6 × parameters × examples, give or take a factor of three."""
    pairs = RECIPE.share * RECIPE.prime * (RECIPE.prime + 1) / 2
    usual = 6.0 * _size(RECIPE) * pairs * RECIPE.end
    return usual / 3, usual * 3
