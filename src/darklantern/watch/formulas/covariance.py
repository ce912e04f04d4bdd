"""A covariance that can be inverted, also from fewer examples than features."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.formulas.features import Floats


@dataclass(frozen=True)
class Covariance:
    """(1 − s)·S + s·(tr S / d)·I for centred rows, S = XᵀX/n; `shrunk_covariance` makes it.

    With fewer rows than features it is held as the rows, so that a look at 4,096 features costs n²·d, not d³.
    """

    rows: Floats
    """(n, d), of mean 0"""
    share: float
    """s"""
    scale: float
    """tr S / d"""

    @property
    def array(self) -> Floats:
        """The whole of it, (d, d)."""
        made: Floats = (1 - self.share) * (self.rows.T @ self.rows) / len(self.rows)
        made[np.diag_indices(len(made))] += self._floor
        return made

    def solve(self, values: Floats) -> Floats:
        """Σ⁻¹ of each row of (m, d)."""
        if self.share == 1:
            return values / self._floor
        if not self._wide:
            made: Floats = np.linalg.solve(self._root.T, np.linalg.solve(self._root, values.T)).T
            return made
        inner = np.linalg.solve(self._root.T, np.linalg.solve(self._root, self.rows @ values.T))
        return (values - inner.T @ self.rows) / self._floor

    def squares(self, values: Floats) -> Floats:
        """xᵀΣ⁻¹x of each row x of (m, d)."""
        made: Floats = np.maximum((values * self.solve(values)).sum(-1), 0.0)
        return made

    @property
    def _wide(self) -> bool:
        return len(self.rows) < self.rows.shape[1]

    @property
    def _floor(self) -> float:
        return max(self.share, 1e-9) * self.scale  # of a singular S too, an inverse

    @cached_property
    def _root(self) -> Floats:
        """Cholesky's root of the covariance, or of what Woodbury's identity has in its place."""
        if not self._wide:
            return np.linalg.cholesky(self.array)
        inner = self.rows @ self.rows.T
        inner[np.diag_indices(len(inner))] += len(self.rows) * self._floor / (1 - self.share)
        return np.linalg.cholesky(inner)


def shrunk_covariance(centred: Floats, shrinkage: float | None = None) -> Covariance:
    """The covariance of rows (n, d) of mean 0, shrunk towards a multiple of the identity.

    `shrinkage` s is Ledoit's and Wolf's optimal one unless given ("A well-conditioned estimator for large-dimensional
    covariance matrices", 2004). Raises WatchError when all rows are equal, for then nothing varies.
    """
    n, d = centred.shape
    scale = float((centred**2).sum()) / (n * d)
    if not scale > 0:
        raise WatchError(
            f"all {n} examples have the same {d} features, so no distance can be measured in their spread",
            hint="give more examples that differ, or a site whose values do",
        )
    return Covariance(centred, _optimal(centred, scale) if shrinkage is None else shrinkage, scale)


def _optimal(centred: Floats, scale: float) -> float:
    """Ledoit's and Wolf's b²/d²: the error of S as a share of its distance from the scaled identity."""
    n, d = centred.shape
    sample = centred @ centred.T if n < d else centred.T @ centred
    size = float((sample**2).sum()) / n**2
    spread = size - d * scale**2
    error = (float(((centred**2).sum(-1) ** 2).sum()) / n - size) / n
    return 1.0 if spread <= 0 else float(np.clip(error / spread, 0.0, 1.0))
