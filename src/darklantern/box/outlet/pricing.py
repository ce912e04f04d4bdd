"""Prices of observable symbols, so that a budget of B bits allows at most 2^B transcripts.

At each step the prices of everything that could be observed satisfy Kraft's inequality, Σ 2^−price ≤ 1. Then, whatever
chooses the symbols and however it adapts, the transcripts that cost B bits or less number at most 2^B, so that the
min-entropy leakage is at most B bits (Smith 2009: capacity is the logarithm of the number of outputs).

Prices are whole micro-bits, rounded up: rounding can only keep the inequality.
"""

import math
from fractions import Fraction

MICRO = 1_000_000
END_CLASSES = 4
"""ok, failed, limit, tripwire"""


def microbits(bits: float) -> int:
    """Bits as whole micro-bits, rounded up, and one more for what the logarithm itself rounds away."""
    return math.ceil(bits * MICRO) + 1 if bits > 0 else 0


def choice(count: int) -> int:
    """The price of one of `count` symbols that are all alike, in micro-bits."""
    return microbits(math.log2(count))


def weighted(count: int, share: Fraction) -> int:
    """The price of one of `count` symbols that have `share` of the weight together, in micro-bits."""
    return microbits(math.log2(count) - math.log2(share))


def shown(price: int) -> str:
    """A price in bits, for people."""
    return f"{price / MICRO:.2f} bits"
