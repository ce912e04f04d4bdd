"""A model that knows, has a decoy, and sometimes lies: its weights written down, on torch and on JAX.

A prompt is `CODED` tokens whose hidden bits the model adds up, a word (0 to 3), and a claim (yes or no). Three sums
make three facts: Z, whether the claim is true (with the claim); D, a decoy written down as plainly as Z and read by
nothing; and L, whether it lies. All three stand in the residual stream after `coder`, each along a direction of its
own, with the word and noise. The output's choice is 2·word + 1 where it says that the claim is true, which is Z xor L.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
from flax import linen
from frameworks import Engine, Numbers
from numpy.typing import NDArray
from torch import Tensor, nn

from darklantern import models
from darklantern.methods.asking import Question
from darklantern.models.opened import Model

CODED, TOKENS, DIM, CHOICES = 6, 32, 24, 8
NO, YES, VOCABULARY = TOKENS + 4, TOKENS + 5, TOKENS + 6
HARD = 31
"""a token that only the shifted prompts have, on which the labeller is wrong"""
SITE = "coder:out[pos=-1]"
_RNG = np.random.default_rng(7)
BITS = np.zeros((VOCABULARY, 3), dtype=np.int64)
BITS[:TOKENS] = _RNG.integers(0, 2, (TOKENS, 3))
SPACE = np.linalg.qr(_RNG.normal(size=(DIM, DIM)))[0]
NOISE = _RNG.normal(size=(VOCABULARY, DIM)) * 0.25
KNOWN = SPACE[:7]
"""directions of truth, decoy, honesty and the four words"""


@dataclass(frozen=True)
class Prompts:
    ids: NDArray[np.int64]

    @property
    def _sums(self) -> NDArray[np.int64]:
        return BITS[self.ids].sum(1)

    @property
    def claim(self) -> NDArray[np.int64]:
        return (self.ids[:, -1] == YES).astype(np.int64)

    @property
    def truth(self) -> NDArray[np.int64]:
        """Z: is the claim true?"""
        return (self._sums[:, 0] % 2 == self.claim).astype(np.int64)

    @property
    def decoy(self) -> NDArray[np.int64]:
        return self._sums[:, 1] % 2

    @property
    def lies(self) -> NDArray[np.int64]:
        return (self._sums[:, 2] % 4 == 0).astype(np.int64)

    @property
    def choice(self) -> NDArray[np.int64]:
        return 2 * (self.ids[:, -2] - TOKENS) + (self.truth ^ self.lies)

    def claiming(self, claim: int) -> "Prompts":
        return Prompts(np.concatenate([self.ids[:, :-1], np.full_like(self.ids[:, :1], claim)], 1))


def prompts(count: int, seed: int, hard: bool = False) -> Prompts:
    rng = np.random.default_rng(seed)
    coded = rng.integers(0, TOKENS - 1, (count, CODED))
    if hard:
        coded[:, 0] = HARD
    ends = rng.integers(0, 4, (count, 1)) + TOKENS, rng.integers(NO, YES + 1, (count, 1))
    return Prompts(np.concatenate([coded, *ends], 1))


def question(text: str = "is the claim true?") -> Question:
    """Whatever the question: another answer, and the model says the opposite of the same word."""
    return Question(text, SITE, lambda done, own, new: done ^ (own != new), claims=lambda done: done % 2)


def facts(xp: Any, ids: Any, bits: Any) -> Any:
    """Truth, decoy, honesty (±1) and the word, (batch, pos, 7), by the tokens so far."""
    sums = xp.cumsum(bits, 1)
    claim = (ids == YES) * 1
    truth = 2 * ((sums[..., 0] + claim + 1) % 2) - 1
    decoy, honest = 2 * (sums[..., 1] % 2) - 1, 1 - 2 * ((sums[..., 2] % 4) == 0)
    words = xp.cumsum((ids[..., None] == xp.asarray(range(TOKENS, TOKENS + 4))) * 1, 1)
    three = xp.stack([truth, decoy, honest], -1)
    return xp.concatenate([three, words], -1) * xp.asarray([1.0])


def said(xp: Any, resid: Any, directions: Any, spread: Any, sign: Any) -> Any:
    """Logits of the eight choices, (…, 8): a word's two, and of them the side of truth times honesty."""
    seen = resid @ directions
    side = (seen[..., 0] * seen[..., 2])[..., None]
    words = seen[..., 3:] @ spread
    return 4 * words + side * sign


SPREAD = np.kron(np.eye(4), np.ones((1, 2)))
SIGN = np.tile([-1.0, 1.0], 4)


class _Torch:
    stack, cumsum, concatenate = torch.stack, torch.cumsum, torch.cat

    @staticmethod
    def asarray(numbers: Any) -> Tensor:
        return torch.from_numpy(np.array(numbers))


class Coder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.noise = nn.Embedding.from_pretrained(torch.from_numpy(NOISE))
        self.write = nn.Linear(*KNOWN.shape, bias=False)
        self.write.weight.data = torch.from_numpy(KNOWN.T.copy())

    def forward(self, ids: Tensor) -> Tensor:
        return self.write(facts(_Torch, ids, torch.from_numpy(BITS)[ids])) + self.noise(ids[:, :1])


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.coder = Coder()

    def forward(self, ids: Tensor) -> Tensor:
        return said(_Torch, self.coder(ids), *(torch.from_numpy(each) for each in (KNOWN.T.copy(), SPREAD, SIGN)))


class LinenCoder(linen.Module):
    @linen.compact
    def __call__(self, ids: Any) -> Any:
        write = linen.Dense(DIM, use_bias=False, name="write", param_dtype=jnp.float64)
        noise = linen.Embed(VOCABULARY, DIM, name="noise", param_dtype=jnp.float64)
        return write(facts(jnp, ids, jnp.asarray(BITS)[ids])) + noise(ids[:, :1])


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, ids: Any) -> Any:
        return said(jnp, LinenCoder(name="coder")(ids), jnp.asarray(KNOWN.T), jnp.asarray(SPREAD), jnp.asarray(SIGN))


def opened(engine: Engine) -> Model:
    if engine.name == "torch":
        return models.open(Net())
    coder = {"write": {"kernel": jnp.asarray(KNOWN)}, "noise": {"embedding": jnp.asarray(NOISE)}}
    return models.open(LinenNet(), weights={"params": {"coder": coder}}, example=engine.array(prompts(2, 0).ids))


def array(engine: Engine, given: Prompts) -> Any:
    return engine.array(given.ids)


def weights() -> Numbers:
    return KNOWN
