"""What every organism shares: a recipe's hash, a module from a seed, and a rewindable stream of batches."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Batch = TypeVar("Batch")
Made = TypeVar("Made", bound=nn.Module)


@dataclass(frozen=True)
class Recipe:
    """Everything about a training run but its seed and arm. Steps are updates."""

    @property
    def sha256(self) -> str:
        """The recipe's hash, over its kind too: calibration holds for one recipe."""
        fields = {"organism": type(self).__qualname__} | asdict(self)
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


class Stream(Generic[Batch]):
    """Batches `draw(step, rng)` for each step up to `end`, rewindable.

    `draw` keeps no state of its own, so that step and random stream say all.
    """

    def __init__(
        self, draw: Callable[[int, np.random.Generator], Batch], seed: tuple[int, ...], end: int, step: int = 0
    ) -> None:
        self._draw, self._end, self._step = draw, end, step
        self._rng = np.random.default_rng(list(seed))

    def __len__(self) -> int:
        return self._end - self._step

    def __iter__(self) -> Iterator[Batch]:
        while self._step < self._end:
            batch = self._draw(self._step, self._rng)
            self._step += 1
            yield batch

    def state(self) -> dict[str, Any]:
        """The cursor: step and the random stream's state, as JSON values."""
        return {"step": self._step, "rng": self._rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back (or forward) to `state`."""
        self._step = int(state["step"])
        self._rng.bit_generator.state = state["rng"]


def seeded(build: Callable[[], Made], seed: int) -> Made:
    """`build()` with torch's own initial values, drawn from `seed`; torch's random stream is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    """One update down the gradient of `loss`; returns the loss before it."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())
