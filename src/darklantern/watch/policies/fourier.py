"""Fourier analysis of tables with a cyclic structure. Pure: arrays in, numbers out.

Nanda et al., "Progress measures for grokking via mechanistic interpretability" (2023).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.formulas import Floats, features


def powers(rows: Any) -> Floats:
    """Of rows (p, d), one for each residue, the norm of each frequency 1 … p // 2, over sine, cosine and columns.

    The constant part is left out: it tells no residue from another.
    """
    held = features(rows, "residues")
    made: Floats = np.sqrt((np.abs(np.fft.rfft(held, axis=0)[1:]) ** 2).sum(1))
    return made


def gini(values: Any) -> float:
    """The Gini coefficient of numbers ≥ 0: 0 when all are equal, 1 − 1/n when one has it all; 0 when all are 0."""
    ordered = np.sort(np.asarray(values, dtype=np.float64).ravel())
    total = float(ordered.sum())
    if not total > 0:
        return 0.0 if total == 0 else float("nan")
    n = len(ordered)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered) / (n * total)


def by_sum(logits: Floats) -> Floats:
    """Of logits (p, p, classes) of a and b, their mean over all pairs with the same a + b mod p: (p, classes)."""
    p = len(logits)
    turned = np.stack([logits[(s - np.arange(p)) % p, np.arange(p)] for s in range(p)])
    made: Floats = turned.mean(1)
    return made


def parts(sums: Floats, frequencies: NDArray[np.integer]) -> Floats:
    """What a table by a + b (p, classes) holds in the sines and cosines of some frequencies, (p, classes)."""
    spectrum = np.fft.rfft(sums, axis=0)
    kept = np.zeros_like(spectrum)
    kept[frequencies] = spectrum[frequencies]
    made: Floats = np.fft.irfft(kept, n=len(sums), axis=0)
    return made


def over_pairs(sums: Floats) -> Floats:
    """A table by a + b (p, classes) as one of a and b, (p, p, classes)."""
    p = len(sums)
    made: Floats = sums[(np.arange(p)[:, None] + np.arange(p)[None]) % p]
    return made


def losses(logits: Floats, answers: NDArray[np.integer]) -> Floats:
    """Cross-entropy of logits (…, classes) at `answers` (…), in nats."""
    top = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(-1)) + top[..., 0]
    made: Floats = total - np.take_along_axis(logits, answers[..., None], -1)[..., 0]
    return made


def check_period(rows: int, period: int, what: str) -> None:
    """Raises WatchError where there are fewer rows than residues."""
    if period < 3 or rows < period:
        raise WatchError(
            f"expected {what} with a row for each of {period} residues, 3 at least, got {rows} rows",
            hint="period= is p of the arithmetic mod p; axis= says which axis of the weight counts the residues",
        )
