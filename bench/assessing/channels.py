"""Channels whose information is known exactly, and readers of them that were fitted on other messages."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.assess.bits import entropy_bits

Whole = NDArray[np.int64]
Numbers = NDArray[np.float64]


def histogram(seen: Whole, classes: Whole, asked: Whole, count: int) -> Numbers:
    """A reader of the richest kind for few symbols: smoothed counts of each symbol."""
    counts = np.full((int(max(seen.max(), asked.max())) + 1, count), 0.5)
    np.add.at(counts, (seen, classes), 1)
    return (counts / counts.sum(axis=1, keepdims=True))[asked]


def bitwise(seen: Whole, classes: Whole, asked: Whole, count: int) -> Numbers:
    """A weaker family, naive Bayes over the bits of a symbol: it cannot see an XOR."""
    odds = np.ones((len(asked), count))
    for bit in range(int(max(seen.max(), asked.max())).bit_length()):
        odds *= histogram(seen >> bit & 1, classes, asked >> bit & 1, count)
    return odds / odds.sum(axis=1, keepdims=True)


def identity(rng: np.random.Generator, truth: Whole) -> Whole:
    return truth


def independent(rng: np.random.Generator, truth: Whole) -> Whole:
    return rng.integers(2, size=truth.size)


def binary_symmetric(rng: np.random.Generator, truth: Whole) -> Whole:
    return truth ^ (rng.random(truth.size) < 0.11)


def erasure(rng: np.random.Generator, truth: Whole) -> Whole:
    return np.where(rng.random(truth.size) < 0.3, 2, truth)


def xor(rng: np.random.Generator, truth: Whole) -> Whole:
    key = rng.integers(2, size=truth.size)
    return 2 * key + (truth ^ key)


def one_time_pad(rng: np.random.Generator, truth: Whole) -> Whole:
    return truth ^ rng.integers(2, size=truth.size)


def one_bit_in_eight(rng: np.random.Generator, truth: Whole) -> Whole:
    return truth + 2 * rng.integers(128, size=truth.size)


@dataclass(frozen=True)
class Case:
    """A channel with a reader, and what there is for readers of that family to learn."""

    channel: Callable[[np.random.Generator, Whole], Whole]
    reader: Callable[[Whole, Whole, Whole, int], Numbers]
    classes: int
    truth: float
    """bits"""
    budget: float
    """bits"""

    @property
    def name(self) -> str:
        return f"{self.channel.__name__}-{self.reader.__name__}"

    def predicted(self, count: int, rng: np.random.Generator) -> tuple[Numbers, Whole]:
        """What the reader says of held-out messages, and the truth of each."""
        fitted, held_out = rng.integers(self.classes, size=(2, count))
        sent: Any = self.channel(rng, fitted)
        return self.reader(sent, fitted, self.channel(rng, held_out), self.classes), held_out


CASES = (
    Case(identity, histogram, 4, 2.0, 2.0),
    Case(independent, histogram, 2, 0.0, 1.0),
    Case(binary_symmetric, histogram, 2, 1 - entropy_bits([0.11, 0.89]), 1.0),
    Case(erasure, histogram, 2, 0.7, log2(3)),
    Case(xor, bitwise, 2, 0.0, 2.0),
    Case(xor, histogram, 2, 1.0, 2.0),
    Case(one_time_pad, histogram, 2, 0.0, 1.0),
    Case(one_bit_in_eight, bitwise, 2, 1.0, 8.0),
)
