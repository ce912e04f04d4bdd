"""How far examples lie from a cloud of trusted ones, in units of its own spread."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.formulas.covariance import Covariance, shrunk_covariance
from darklantern.watch.formulas.features import Floats, alike, features


@dataclass(frozen=True)
class Cloud:
    """Class means and one covariance for all classes. `cloud` fits it."""

    means: Floats
    """(classes, d), in the order of `labels`"""
    covariance: Covariance
    labels: NDArray[Any]
    """(classes,)"""

    def distances(self, values: Any, labels: Any = None) -> Floats:
        """Squared Mahalanobis distance (n,) of each example (n, …) to its own class's mean, or to the nearest class's.

        An example drawn from the cloud expects the number of its features. Raises WatchError for a label that the
        cloud has no mean of.
        """
        rows = features(values, "features", least=1)
        alike(rows, self.means, "examples and the cloud")
        if labels is not None:
            return self.covariance.squares(rows - self.means[self._which(np.asarray(labels))])
        nearest: Floats = np.min([self.covariance.squares(rows - mean) for mean in self.means], axis=0)
        return nearest

    def _which(self, labels: NDArray[Any]) -> NDArray[np.intp]:
        found = np.minimum(np.searchsorted(self.labels, labels), len(self.labels) - 1)
        if (strange := labels[self.labels[found] != labels]).size:
            raise WatchError(
                f"the cloud has no class {strange[0]!r}; it has {len(self.labels)} of them",
                hint="fit it on trusted examples of every class",
            )
        return found


def cloud(values: Any, labels: Any = None, shrinkage: float | None = None) -> Cloud:
    """Fit a cloud to trusted features (n, …): one mean, or one for each class of `labels` (n,).

    Lee et al., "A simple unified framework for detecting out-of-distribution samples and adversarial attacks" (2018),
    with a shrunk covariance. Costs n·d·min(n, d). Raises WatchError for fewer than two examples, in a class too, and
    for values that are not finite.
    """
    rows = features(values, "trusted features")
    given = np.zeros(len(rows), dtype=np.int64) if labels is None else np.asarray(labels)
    if given.shape != (len(rows),):
        raise WatchError(
            f"expected one label for each of {len(rows)} trusted examples, got labels {given.shape}",
            hint="labels (n,), as the loader yields them",
        )
    classes, which, counts = np.unique(given, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise WatchError(
            f"expected at least 2 trusted examples of each class, got {int(counts.min())} of class "
            f"{classes[counts.argmin()]!r}",
            hint="a mean of one example is that example; give more trusted examples, or leave the labels out",
        )
    means = np.stack([rows[which == i].mean(0) for i in range(len(classes))])
    return Cloud(means, shrunk_covariance(rows - means[which], shrinkage), classes)
