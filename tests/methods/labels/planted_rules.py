"""A module whose numbers each follow a rule about tokens, on torch and on JAX, and text in which all rules occur.

Activation is 1 ± 0.25 where the rule holds, and up to 0.15 of ripple anywhere. The output is a linear map of it.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
from flax import linen
from frameworks import Engine, Numbers
from torch import Tensor, nn

from darklantern import models
from darklantern.models.opened import Model

LETTERS = [one + two + three for one in "bdkm" for two in "aeiou" for three in "lnr"]
VOCABULARY = ["(", ")", "[", "]", ".", ",", "7", "12", *LETTERS]
SIZE = len(VOCABULARY)
WORDS = range(8, SIZE)


@dataclass(frozen=True)
class Planted:
    kind: str
    """token, previous, next, pair, within, or token within"""
    one: int = -1
    two: int = -1

    @property
    def view(self) -> str:
        return {"pair": "token after"}.get(self.kind, self.kind)


def followers(token: int) -> tuple[int, int]:
    """What often comes after it."""
    return 8 + (token * 7 + 3) % (SIZE - 8), 8 + (token * 5 + 11) % (SIZE - 8)


RULES = (
    *(Planted("token", token) for token in range(8, 32)),
    *(Planted("previous", token) for token in range(12, 28)),
    *(Planted("next", token) for token in range(30, 36)),
    *(Planted("pair", token, followers(token)[0]) for token in range(36, 52)),
    *(Planted("within", bracket) for bracket in (0, 2)),
    *(Planted("token within", token, 0) for token in range(52, 60)),
)


def text(number: int) -> str:
    return f" {VOCABULARY[number]}"


def written(examples: int, seed: int, length: int = 32) -> Numbers:
    """Tokens, half of them a frequent follower of the last; brackets come in pairs now and then."""
    rng = np.random.default_rng(seed)
    made = np.zeros((examples, length), dtype=np.int64)
    for row in made:
        row[0], closing = rng.integers(4, SIZE), None
        for place in range(1, length):
            row[place] = rng.choice(followers(row[place - 1])) if rng.random() < 0.5 else rng.integers(4, SIZE)
            if closing is None and rng.random() < 0.08:
                row[place] = rng.choice([0, 2])
                closing = row[place] + 1
            elif closing is not None and rng.random() < 0.2:
                row[place], closing = closing, None
    return made


def activations(xp: Any, ids: Any) -> Any:
    """(batch, pos, rule), in the arrays of `ids`."""
    kinds = {kind: xp.asarray([rule.kind == kind for rule in RULES]) for kind in {rule.kind for rule in RULES}}
    one, two = (xp.asarray([getattr(rule, name) for rule in RULES]) for name in ("one", "two"))
    number, place = (xp.asarray([float(each) for each in range(count)]) for count in (len(RULES), ids.shape[1]))
    pad = xp.full_like(ids[:, :1], -1)
    previous, following = xp.concatenate([pad, ids[:, :-1]], 1), xp.concatenate([ids[:, 1:], pad], 1)
    round_, square = (_inside(xp, ids, bracket)[..., None] for bracket in (0, 2))
    here, before, after = ids[..., None], previous[..., None], following[..., None]
    holds = (
        (kinds["token"] & (here == one))
        | (kinds["previous"] & (before == one))
        | (kinds["next"] & (after == one))
        | (kinds["pair"] & (before == one) & (here == two))
        | (kinds["within"] & (((one == 0) & round_) | ((one == 2) & square)))
        | (kinds["token within"] & (here == one) & round_)
    )
    ripple = 0.15 * xp.sin(here * 1.7 + number + place[:, None] * 0.3) ** 2
    return holds * (1 + 0.25 * xp.sin(place[:, None] * 1.3 + number)) + ripple


def _inside(xp: Any, ids: Any, bracket: int) -> Any:
    depth = xp.cumsum((ids == bracket) * 1 - (ids == bracket + 1) * 1, 1)
    return (depth > 0) & (ids != bracket)


class _Torch:
    """What NumPy's words are called in torch."""

    full_like, concatenate, cumsum, sin = torch.full_like, torch.cat, torch.cumsum, torch.sin

    @staticmethod
    def asarray(numbers: Any) -> Tensor:
        return torch.from_numpy(np.array(numbers))


def unembedding() -> Numbers:
    """A rule of one token pushes that token up, and its direction is otherwise noise."""
    made = np.random.default_rng(3).normal(size=(len(RULES), SIZE)) * 0.1
    for number, rule in enumerate(RULES):
        if rule.kind == "token":
            made[number, rule.one] += 2
    return made


class TorchPart(nn.Module):
    def forward(self, ids: Tensor) -> Tensor:
        return activations(_Torch, ids)


class TorchNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.planted = TorchPart()
        self.unembed = nn.Linear(*unembedding().shape, bias=False).double()
        self.unembed.weight.data = torch.from_numpy(unembedding().T.copy())

    def forward(self, ids: Tensor) -> Tensor:
        return self.unembed(self.planted(ids))


class LinenPart(linen.Module):
    @linen.compact
    def __call__(self, ids: Any) -> Any:
        # A linear map, by which the engine knows the last axis: the identity.
        return linen.Dense(len(RULES), use_bias=False, name="same")(activations(jnp, ids))


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, ids: Any) -> Any:
        return linen.Dense(SIZE, use_bias=False, name="unembed")(LinenPart(name="planted")(ids))


def opened(engine: Engine) -> Model:
    if engine.name == "torch":
        return models.open(TorchNet())
    same = {"same": {"kernel": jnp.eye(len(RULES), dtype=jnp.float64)}}
    weights = {"params": {"planted": same, "unembed": {"kernel": jnp.array(unembedding())}}}
    return models.open(LinenNet(), weights=weights, example=engine.array(written(2, 0)))
