"""What a watch with default signals costs: two loops in step with each other, one of them watched.

The transformer of two layers, 128 dims, bytes, batches of 32, of `notes/watch.md`. After each step of the bare loop
comes one of the watched loop from the same seed, so that whatever else the machine does falls on both alike. A block is
100 steps of each; its ratio is of processor time, looks included, those after the self-test.
"""

import gc
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch

from darklantern.organisms import text, training
from darklantern.organisms.loading import TrainingRecipe
from darklantern.organisms.shape import Shape
from darklantern.watch import Settings, watch
from watching.lines import Line, line

SEED = 0
TRUSTED = 6000
CADENCES = {100: 0.01, 25: 0.03}
"""steps between looks → the share of training time that looks may take"""
BLOCK = 100
"""steps"""
WARM = 12
"""steps before the first block"""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    shape: Shape
    batch: int
    blocks: int


WHOLE = Size(Shape(layers=2, dim=128), 32, 9)
TINY = Size(Shape(layers=2, dim=32), 8, 2)


def lines(tiny: bool) -> list[Line]:
    """One line for each cadence. Some four minutes of an idle core."""
    size = TINY if tiny else WHOLE
    return [_line(every, bar, size) for every, bar in CADENCES.items()]


def _line(every: int, bar: float, size: Size) -> Line:
    found = measure(every, size)
    shares = sorted(watched / bare - 1 for bare, watched in found)
    share = median(shares)
    return line(
        f"overhead · a look each {every} steps",
        round(share, 4),
        "share of training time",
        f"≤ {bar:g}",
        share <= bar,
        blocks=[round(each, 4) for each in shares],
        ms_per_step=round(1000 * median(bare for bare, _ in found) / BLOCK, 1),
        ms_per_look=round(1000 * share * median(bare for bare, _ in found) * every / BLOCK, 1),
        signals="default",
        seed=SEED,
    )


def measure(every: int, size: Size) -> list[tuple[float, float]]:
    """Of each block, seconds of processor time: the bare loop, and the watched one with all that the watch takes."""
    recipe = TrainingRecipe(shape=size.shape, batch=size.batch, end=WARM + (size.blocks + 1) * BLOCK)
    bare, watched = _bare(recipe), _watched(recipe, every)
    found = []
    gc.collect()
    for _ in range(WARM):
        next(bare), next(watched)
    for _ in range(size.blocks):
        total = [0.0, 0.0]
        for _ in range(BLOCK):
            for number, loop in enumerate((bare, watched)):
                started = time.process_time()
                next(loop)
                total[number] += time.process_time() - started
        found.append((total[0], total[1]))
    return found


def _parts(recipe: TrainingRecipe) -> tuple[Any, Any, Any]:
    model, optimizer = training.new(recipe, SEED)
    return model, optimizer, training.Loader(text.standard_library(), recipe, (SEED,))


def _bare(recipe: TrainingRecipe) -> Iterator[None]:
    model, optimizer, loader = _parts(recipe)
    for step, batch in enumerate(loader):
        training.train_step(model, optimizer, recipe, step, batch)
        yield


def _watched(recipe: TrainingRecipe, every: int) -> Iterator[None]:
    model, optimizer, loader = _parts(recipe)
    rows = text.rows(text.standard_library().trusted, TRUSTED, recipe.width, np.random.default_rng(SEED))
    logging.getLogger("darklantern.watch").setLevel(logging.ERROR)
    w = watch(model, state=(optimizer, loader), trusted=rows, settings=Settings(every=every), seed=SEED)
    for batch in w.over(loader):
        training.train_step(model, optimizer, recipe, w.step, batch)
        yield


if __name__ == "__main__":
    torch.set_num_threads(1)
    for each in lines(tiny=False):
        print(json.dumps(each))
