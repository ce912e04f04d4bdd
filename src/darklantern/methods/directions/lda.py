"""Linear discriminant analysis: the difference of means, seen through the covariance within the classes."""

import math

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.directions.probes import Bools, Floats, Probe


def fit(values: Floats, labels: Bools, seed: int = 0, shrinkage: float = -1.0) -> Probe:
    """Σ⁻¹ (μ₊ − μ₋), the best direction where both classes are Gaussian with one covariance Σ.

    Σ is the pooled covariance, drawn towards a multiple of the identity by a share `shrinkage` from 0 to 1; below 0,
    the default, by the share that Ledoit and Wolf (2004) estimate. The offset counts how often each class occurs. Costs
    a solution of as many equations as there are dimensions, or examples if those are fewer. Raises MethodError for a
    share beyond 1, and where an unshrunk covariance is singular.
    """
    if shrinkage > 1:
        raise MethodError(f"a covariance is shrunk by a share from 0 to 1, got {shrinkage}", hint="shrinkage=0.1")
    positive, negative = values[labels].mean(0), values[~labels].mean(0)
    within = values - np.where(labels[:, None], positive, negative)
    share = ledoit_wolf(within) if shrinkage < 0 else shrinkage
    vector = _solved(within, positive - negative, share)
    odds = math.log(labels.sum() / (~labels).sum())
    return Probe(vector, odds - float(vector @ (positive + negative)) / 2)


def ledoit_wolf(centred: Floats) -> float:
    """The share by which to shrink the covariance of centred rows, for the least expected squared error."""
    count, dim = centred.shape
    squares = (centred**2).sum(1)
    size = float(squares.sum()) / count / dim
    # The covariance's squared norm is that of all inner products of rows, of which there may be fewer.
    norm = float((_smaller(centred) ** 2).sum()) / count**2
    spread = norm / dim - size**2  # how far it is from a multiple of the identity
    noise = (float((squares**2).mean()) - norm) / dim / count
    return min(max(noise / spread, 0.0), 1.0) if spread > 0 else 1.0


def _solved(within: Floats, step: Floats, share: float) -> Floats:
    """((1 − share) Σ + share · mean variance · 1)⁻¹ step, Σ the covariance of the rows of `within`."""
    count, dim = within.shape
    ridge = share * float((within**2).sum()) / count / dim
    inner = (1 - share) / count * _smaller(within)
    if not ridge and (count < dim or np.linalg.matrix_rank(inner, hermitian=True) < dim):
        raise MethodError(
            f"the covariance of {count} examples in {dim} dimensions is singular, shrunk by {share:.3g}",
            hint="leave shrinkage out, or use more examples than dimensions",
        )
    whole = inner + ridge * np.eye(len(inner))
    if count >= dim:
        return np.linalg.solve(whole, step)
    # By the matrix inversion lemma: in the span of the rows, and 1 / ridge elsewhere.
    back: Floats = within.T @ np.linalg.solve(whole, within @ step)
    return (step - (1 - share) / count * back) / ridge


def _smaller(rows: Floats) -> Floats:
    """Inner products of the columns, or of the rows if those are fewer."""
    return rows.T @ rows if len(rows) >= rows.shape[1] else rows @ rows.T
