"""Tier I0: do weights grow, and into few directions?"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.formulas import Floats
from darklantern.watch.probes import Asked, Now, Probe, Signal, readings
from darklantern.watch.seen import Seen


class WeightsProbe(Probe):
    """The norm of some weights, and how far each matrix has its size in one direction. No row is run.

    `weights` are parameters or patterns of them. Costs an SVD of each matrix and one of its entries shuffled.
    """

    name: ClassVar[str] = "policies.weights"
    signals = (
        Signal(
            "weight norm",
            "I0",
            "signal",
            "norm",
            "root of the sum of squares of all weights",
            placebo="the norm when the watch began",
            source="Krogh and Hertz, A simple weight decay can improve generalization (1991)",
            cost="0F",
            says="novelty",
        ),
        Signal(
            "weight concentration",
            "I0",
            "signal",
            "share",
            "mean over matrices of 1 − (‖W‖²_F / ‖W‖²₂) / min(rows, columns): 1 minus the stable rank's share",
            placebo="the same numbers in another order",
            source="Rudelson and Vershynin (2007), stable rank",
            cost="0F; an SVD of each matrix, twice",
            says="novelty",
        ),
    )

    def __init__(self, *weights: str, seed: int = 0) -> None:
        if not weights:
            raise WatchError("expected parameters to watch, got none", hint='names or patterns, such as "*.weight"')
        self.weights = weights
        self._seed = seed

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"weights": list(self.weights), "seed": self._seed}

    def inputs(self, now: Now) -> Asked:
        return Asked(None)

    def read(self, seen: Seen) -> Any:
        matrices = [each.reshape(len(each), -1) for each in seen.weights.values() if each.ndim > 1]
        rng = np.random.default_rng(self._seed)
        shuffled = [rng.permutation(each.ravel()).reshape(each.shape) for each in matrices]
        return readings(
            (self.note(seen), seen.first),
            (_mean(matrices), _mean(shuffled)),
        )

    def note(self, seen: Seen) -> float:
        """The norm."""
        return float(np.sqrt(sum((each.astype(np.float64) ** 2).sum() for each in seen.weights.values())))


def _mean(matrices: Sequence[Floats]) -> float:
    return float(np.mean([concentration(each) for each in matrices])) if matrices else 0.0


def concentration(matrix: Floats) -> float:
    """1 − stable rank / min(rows, columns) of (m, n): 0 when all directions are alike; 1 − 1/min for one; 0 for 0.

    NaN for a matrix that holds one.
    """
    held = matrix.astype(np.float64)
    if not np.isfinite(held).all():
        return float("nan")
    sizes = np.linalg.svd(held, compute_uv=False) ** 2
    return float(1 - sizes.sum() / sizes[0] / len(sizes)) if sizes[0] > 0 else 0.0
