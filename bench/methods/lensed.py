"""What tuned lenses are fitted on and read on: batches of the trained transformer's sequences. Only NumPy here."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from methods import copying

BATCHES, ROWS, EVERY, STEPS, RATE, SEED = 50, 16, 5, 250, 1e-3, 6000
"""the first batch of each five is held out, as the product's fit does it"""
RECIPES = ("adam", "as shipped")
Maps = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


def batches() -> list[copying.Tokens]:
    return [copying.sequences(ROWS, SEED + number)[0] for number in range(BATCHES)]


def fitted_on() -> list[copying.Tokens]:
    """A batch for each step, going round."""
    seen = [batch for number, batch in enumerate(batches()) if number % EVERY]
    return [seen[step % len(seen)] for step in range(STEPS)]


def held_out() -> list[copying.Tokens]:
    return batches()[::EVERY]


def write(folder: Path, name: str, maps: Maps) -> None:
    """value @ matrix + shift, of what goes into each layer."""
    matrices, shifts = zip(*maps, strict=True)
    np.savez(folder / f"lens-{name}.npz", matrices=np.stack(matrices), shifts=np.stack(shifts))


def read(folder: Path, name: str) -> Maps:
    with np.load(folder / f"lens-{name}.npz") as held:
        return list(zip(held["matrices"], held["shifts"], strict=True))
