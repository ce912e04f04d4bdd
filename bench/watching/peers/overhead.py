"""One peer's process: what it adds to a training step, on a byte-level transformer of 2 layers and 128 dimensions.

A run without and one with it take turns, a window of steps each. A question a line on stdin:

    → {"module": "watching.peers.wandb_watch", "attach": "attach", "every": 20, "windows": 8}
    ← {"bare": [seconds, …], "with": [seconds, …], "helpers": [seconds, …]}      by window
"""

import gc
import importlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from darklantern.organisms import text, training
from darklantern.organisms.loading import TrainingRecipe
from darklantern.organisms.shape import Shape
from watching.peers import clock
from watching.peers.attached import Loop

SEED = 20
RECIPE = TrainingRecipe(shape=Shape(layers=2, dim=128), batch=32, end=1_000_000)


def started() -> tuple[Any, Any, Any]:
    """Model, optimizer, loader."""
    model, optimizer = training.new(RECIPE, SEED)
    return model, optimizer, training.Loader(text.standard_library(), RECIPE, (SEED, 0))


def bare() -> Callable[[int], None]:
    """A function that goes on by so many steps, with nothing attached."""
    model, optimizer, loader = started()
    batches, done = iter(loader), 0

    def advance(steps: int) -> None:
        nonlocal done
        for _ in range(steps):
            training.train_step(model, optimizer, RECIPE, done, next(batches))
            done += 1

    return advance


def attached(module: Any, attach: str, every: int, folder: Path) -> tuple[Callable[[int], None], Callable[[], None]]:
    """The same with a peer, and how to end it."""
    model, optimizer, loader = started()
    peer = getattr(module, attach)(Loop(model, optimizer, every, folder))
    batches, done = iter(loader), 0

    def advance(steps: int) -> None:
        nonlocal done
        for _ in range(steps):
            batch = next(batches)
            loss = training.train_step(model, optimizer, RECIPE, done, batch)
            done += 1
            peer.after(done, loss, batch)

    return advance, peer.close


def ours(every: int) -> Callable[[int], None]:
    """The same under our watch, with its default signals."""
    from darklantern.watch import Reaction, Settings, watch

    model, optimizer, loader = started()
    corpus = text.standard_library()
    trusted = text.rows(corpus.trusted, 20_000, RECIPE.width, np.random.default_rng([SEED, 1]))
    settings = Settings(every=every, states=1)
    w = watch(model, state=(optimizer, loader), trusted=trusted, settings=settings, on_alarm=Reaction.LOG, seed=SEED)
    batches = w.over(loader)

    def advance(steps: int) -> None:
        for _ in range(steps):
            batch = next(batches)
            training.train_step(model, optimizer, RECIPE, w.step, batch)

    return advance


def measure(question: dict[str, Any]) -> dict[str, list[float]]:
    """Windows in turn; who goes first changes, as the second of two finds warmer caches."""
    every, windows = question["every"], question["windows"]
    with tempfile.TemporaryDirectory() as folder:
        if question["module"] == "ours":
            watched, close = ours(every), lambda: None
        else:
            module = importlib.import_module(question["module"])
            watched, close = attached(module, question["attach"], every, Path(folder))
        sides = {"bare": bare(), "with": watched}
        for advance in sides.values():
            advance(every)
        gc.collect()
        out: dict[str, list[float]] = {"bare": [], "with": [], "helpers": []}
        for window in range(windows):
            before = clock.helpers()
            for side in ("bare", "with") if window % 2 == 0 else ("with", "bare"):
                began = clock.own()
                sides[side](every)
                out[side].append(clock.own() - began)
            out["helpers"].append(clock.helpers() - before)
        close()
    return out


def main() -> None:
    """Answer questions until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    torch.set_num_threads(1)
    for line in sys.stdin:
        try:
            print(json.dumps(measure(json.loads(line))), file=answers)
        except Exception as error:  # noqa: BLE001 - a peer may raise anything, and it is a result
            traceback.print_exc()
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)


if __name__ == "__main__":
    main()
