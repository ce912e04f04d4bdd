"""A covariance that can be inverted, also from fewer examples than features."""

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.formulas.features import Floats


def shrunk_covariance(centred: Floats, shrinkage: float | None = None) -> Floats:
    """(1 − s)·S + s·(tr S / d)·I for rows (n, d) of mean 0, S = XᵀX/n; (d, d).

    `shrinkage` s is Ledoit's and Wolf's optimal one unless given ("A well-conditioned estimator for large-dimensional
    covariance matrices", 2004). Costs n·d². Raises WatchError when all rows are equal, for then nothing varies.
    """
    n, d = centred.shape
    sample = centred.T @ centred / n
    scale = float(np.trace(sample)) / d
    if not scale > 0:
        raise WatchError(
            f"all {n} examples have the same {d} features, so no distance can be measured in their spread",
            hint="give more examples that differ, or a site whose values do",
        )
    share = _optimal(centred, sample, scale) if shrinkage is None else shrinkage
    made: Floats = (1 - share) * sample
    made[np.diag_indices(d)] += max(share, 1e-9) * scale  # of a singular S too, an inverse
    return made


def _optimal(centred: Floats, sample: Floats, scale: float) -> float:
    """Ledoit's and Wolf's b²/d²: the error of S as a share of its distance from the scaled identity."""
    n, d = centred.shape
    spread = float((sample**2).sum()) - d * scale**2
    error = (float(((centred**2).sum(-1) ** 2).sum()) / n - float((sample**2).sum())) / n
    return 1.0 if spread <= 0 else float(np.clip(error / spread, 0.0, 1.0))
