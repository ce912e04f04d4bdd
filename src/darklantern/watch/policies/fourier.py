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
    made: Floats = np.sqrt((np.abs(_spectrum(rows)) ** 2).sum(1))
    return made


def gini(values: Any) -> float:
    """The Gini coefficient of numbers ≥ 0: 0 when all are equal, 1 − 1/n when one has it all; 0 when all are 0."""
    ordered = np.sort(np.asarray(values, dtype=np.float64).ravel())
    total = float(ordered.sum())
    if not total > 0:
        return 0.0 if total == 0 else float("nan")
    n = len(ordered)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered) / (n * total)


def purity(rows: Any) -> float:
    """Of rows (p, neurons), one for each residue, the share of all power that is at its neuron's strongest frequency.

    The constant part is left out. 1 where each neuron has one frequency; of k frequencies in noise about
    (1 + 1/2 + … + 1/k)/k; 0 where nothing is written.
    """
    sizes = np.abs(_spectrum(rows)) ** 2
    total = float(sizes.sum())
    return float(sizes.max(0).sum()) / total if total != 0 else 0.0


def in_phase(reads: Any, writes: Any) -> float:
    """Of what neurons write (p, neurons) by class, the share of power that adds what they read (p, neurons) by residue.

    A neuron that reads cos(wa + u) of both numbers has cos(w(a + b) + 2u) in it, from the product of the two: what
    counts is what it writes at the frequency that it reads most, in that phase, and what is in the opposite phase
    counts against it. 1 for a network that adds by waves, about 0 for one that keeps a table, −1 for one whose waves
    all stand against the sum; 0 where nothing is written.
    """
    read, written = _spectrum(reads), _spectrum(writes)
    here = np.arange(read.shape[1])
    most = np.abs(read).argmax(0)
    phase = read[most, here] ** 2
    along = (phase * np.conj(written[most, here])).real / np.maximum(np.abs(phase), np.finfo(np.float64).tiny)
    total = float((np.abs(written) ** 2).sum())
    return float((np.sign(along) * along**2).sum()) / total if total != 0 else 0.0


def _spectrum(rows: Any) -> NDArray[np.complexfloating]:
    """Of rows (p, columns), their frequencies 1 … p // 2, (p // 2, columns)."""
    held = features(rows, "residues")
    made: NDArray[np.complexfloating] = np.fft.rfft(held - held.mean(0), axis=0)[1:]
    return made


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
