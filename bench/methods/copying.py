"""What the small trained transformer is trained on and asked: sequences that begin again. Only NumPy here.

A piece of a random walk over tokens, 8 to 16 long, then the same once more: what comes next is told by looking back.
"""

import numpy as np
from numpy.typing import NDArray

from methods import subjects

Tokens = NDArray[np.int64]
SEED, LENGTH, SHORTEST, LONGEST, LIKELY = 12, 32, 8, 16, 4
PAIRS, PERIOD, CHANGED = 32, 12, 7
"""of the contrast: the period, and the place in it where the corrupt inputs have another token"""


def sequences(count: int, seed: int) -> tuple[Tokens, NDArray[np.bool_]]:
    """(count, LENGTH), and where each token is said for a second time."""
    rng = np.random.default_rng([SEED, seed])
    periods = rng.integers(SHORTEST, LONGEST + 1, count)
    places = np.arange(LENGTH)
    first = np.take_along_axis(_walks(count, LENGTH, rng), places % periods[:, None], axis=1)
    return first, places >= periods[:, None]


def contrast(seed: int = 1) -> tuple[Tokens, Tokens, Tokens, Tokens]:
    """Clean inputs, corrupt ones, what follows in either. One token differs: the one to be said again."""
    rng = np.random.default_rng([SEED, seed, PAIRS])
    once = _walks(PAIRS, PERIOD, rng)
    whole = np.concatenate([once, once[:, :CHANGED]], axis=1)
    answer = once[:, CHANGED]
    other = (answer + rng.integers(1, subjects.VOCABULARY, PAIRS)) % subjects.VOCABULARY
    corrupt = whole.copy()
    corrupt[:, CHANGED] = other
    return whole, corrupt, answer, other


def _walks(count: int, length: int, rng: np.random.Generator) -> Tokens:
    """Each token is followed by one of four, the same ones always."""
    ways = np.random.default_rng(SEED).integers(0, subjects.VOCABULARY, (subjects.VOCABULARY, LIKELY))
    made = np.empty((count, length), np.int64)
    made[:, 0] = rng.integers(0, subjects.VOCABULARY, count)
    for place in range(1, length):
        made[:, place] = ways[made[:, place - 1], rng.integers(0, LIKELY, count)]
    return made
