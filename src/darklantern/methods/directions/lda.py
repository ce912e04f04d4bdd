"""Linear discriminant analysis: the difference of means, seen through the covariance within the classes."""

import math

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.directions.probes import Bools, Floats, Probe


def fit(values: Floats, labels: Bools, seed: int = 0, shrinkage: float = -1.0) -> Probe:
    """Σ⁻¹ (μ₊ − μ₋), the best direction where both classes are Gaussian with one covariance Σ.

    Σ is the pooled covariance, drawn towards a multiple of the identity by a share `shrinkage` from 0 to 1; below 0,
    the default, by the share that Ledoit and Wolf (2004) estimate. The offset counts how often each class occurs.
    Raises MethodError for a share beyond 1, and where an unshrunk covariance is singular.
    """
    if shrinkage > 1:
        raise MethodError(f"a covariance is shrunk by a share from 0 to 1, got {shrinkage}", hint="shrinkage=0.1")
    positive, negative = values[labels].mean(0), values[~labels].mean(0)
    within = values - np.where(labels[:, None], positive, negative)
    covariance = within.T @ within / len(within)
    share = ledoit_wolf(within, covariance) if shrinkage < 0 else shrinkage
    size = np.trace(covariance) / len(covariance)
    shrunk = (1 - share) * covariance + share * size * np.eye(len(covariance))
    if not size or np.linalg.matrix_rank(shrunk, hermitian=True) < len(shrunk):
        raise MethodError(
            f"the covariance of {len(values)} examples in {values.shape[1]} dimensions is singular, shrunk by "
            f"{share:.3g}",
            hint="leave shrinkage out, or use more examples than dimensions",
        )
    vector = np.linalg.solve(shrunk, positive - negative)
    odds = math.log(labels.sum() / (~labels).sum())
    return Probe(vector, odds - float(vector @ (positive + negative)) / 2)


def ledoit_wolf(centred: Floats, covariance: Floats) -> float:
    """The share by which to shrink the covariance of centred rows, for the least expected squared error."""
    count, dim = centred.shape
    size = np.trace(covariance) / dim
    spread = float((covariance**2).sum()) / dim - size**2  # how far it is from a multiple of the identity
    noise = float(((centred**2).sum(1) ** 2).mean() - (covariance**2).sum()) / dim / count
    return min(max(noise / spread, 0.0), 1.0) if spread > 0 else 1.0
