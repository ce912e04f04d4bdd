"""How many dimensions something varies in, from the spectrum of its covariance."""

from typing import Any

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.formulas.features import Floats, features


def spectrum(window: Any) -> Floats:
    """Eigenvalues of the covariance of the columns of (looks, n), largest first; as many as looks or columns.

    By singular values, so that a window of few looks costs looks²·n and not n³.
    """
    rows = features(window, "a window of looks")
    values: Floats = np.linalg.svd(rows - rows.mean(0), compute_uv=False) ** 2 / (len(rows) - 1)
    return values


def participation_ratio(eigenvalues: Any) -> float:
    """(Σλ)² / Σλ²: 1 when one direction has all the variance, k when k have it equally.

    The participation ratio of the loss covariance falls when what the model learns moves all losses at once
    (Hennick and Corlouer, arXiv 2603.29805).
    """
    values = _positive(eigenvalues)
    return float(values.sum() ** 2 / (values**2).sum())


def spectral_heat_capacity(eigenvalues: Any) -> float:
    """Var_p(−log p) for p = λ/Σλ: the heat capacity at temperature 1 of levels −log p; 0 for a flat spectrum.

    Named by Hennick and Corlouer, arXiv 2603.29805, as a warning of transitions; this is the form known in physics as
    capacity of entanglement (Nakagawa and Furukawa, arXiv 1708.08924). In nats².
    """
    values = _positive(eigenvalues)
    p = values[values > 0] / values.sum()
    levels = -np.log(p)
    mean = float((p * levels).sum())
    return float((p * (levels - mean) ** 2).sum())


def _positive(eigenvalues: Any) -> Floats:
    values = np.maximum(features(eigenvalues, "eigenvalues", least=1).ravel(), 0.0)  # rounding may leave −1e-18
    if not values.sum() > 0:
        raise WatchError(
            f"expected a covariance with some variance, got {len(values)} eigenvalues of 0",
            hint="nothing changed over the window; a longer one may show what does",
        )
    return values
