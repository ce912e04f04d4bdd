"""The most that a channel can tell in the worst case, whatever the secret and whoever wants it.

Alvim and others 2020, The Science of Quantitative Information Flow: min-capacity bounds the multiplicative leakage of
every gain function and every prior. No average protects from one bad message; this does.
"""

from collections.abc import Hashable, Iterable
from math import log2

import numpy as np
from numpy.typing import ArrayLike

from darklantern.errors import AssessmentError


def min_capacity_bits(channel: ArrayLike) -> float:
    """log2 Σ_o max_x P(o | x) of a channel (x, o), whose rows are the distributions of messages.

    At most the logarithm of the number of messages. Raises AssessmentError for rows that are no distributions.
    """
    rows = np.asarray(channel, dtype=np.float64)
    if rows.ndim != 2 or not rows.size or not (rows >= 0).all() or not np.allclose(rows.sum(1), 1):
        raise AssessmentError(
            f"expected a channel (secret, message) whose rows sum to 1, got shape {rows.shape}",
            hint="one row for each secret: how likely each message is",
        )
    return log2(float(rows.max(0).sum()))


def distinct_outputs_bits(messages: Iterable[Hashable]) -> float:
    """Min-capacity of a deterministic map, from all messages that it gives. Raises AssessmentError for none."""
    count = len(set(messages))
    if not count:
        raise AssessmentError("no message", hint="all that the map gives, over all of its inputs")
    return log2(count)


def leakage_factor(bits: float) -> float:
    """By how much a message can multiply anyone's success, whatever they are after: 2 to the power of the budget."""
    if bits < 0:
        raise AssessmentError(f"{bits} bits", hint="a budget is 0 or more")
    return float(2**bits)
