"""To which class do features belong, and how much do they speak against the label that a row has?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.formulas.covariance import shrunk_covariance
from darklantern.watch.formulas.features import Floats, alike, features


@dataclass(frozen=True)
class LinearDiscriminant:
    """Of several classes, all alike likely beforehand. `linear_discriminant` fits it."""

    weights: Floats
    """(d, classes), in the order of `labels`"""
    offsets: Floats
    """(classes,)"""
    labels: NDArray[Any]
    """(classes,)"""

    def against(self, values: Any, labels: Any) -> Floats:
        """−log p(label | features), in nats, of each example (n, …) with its label (n,).

        A label that no class has counts as the least likely class: it is strange, but how strange nothing says.
        Raises WatchError for NaN and for features of another size.
        """
        rows = features(values, "features", least=1)
        alike(rows, self.weights.T, "examples and the classes")
        scores = rows @ self.weights + self.offsets
        own = np.asarray(labels)[:, None] == self.labels
        mine = np.where(own.any(1), np.where(own, scores, 0.0).sum(1), scores.min(1))
        top = scores.max(1)
        made: Floats = top + np.log(np.exp(scores - top[:, None]).sum(1)) - mine
        return np.maximum(made, 0.0)


def linear_discriminant(values: Any, labels: Any) -> LinearDiscriminant:
    """Fit classes to trusted features (n, …) with their `labels` (n,): one mean each, one shrunk covariance for all.

    Fisher's discriminant with Gaussian classes (Hastie, Tibshirani and Friedman, "The elements of statistical
    learning", 4.3). Costs n·d·min(n, d). Raises WatchError for fewer than two classes, and for values that are not
    finite or do not vary.
    """
    rows = features(values, "trusted features")
    given = np.asarray(labels)
    classes, which = np.unique(given, return_inverse=True)
    if given.shape != (len(rows),) or len(classes) < 2:
        raise WatchError(
            f"expected a label for each of {len(rows)} trusted examples, of two classes or more, got labels "
            f"{given.shape} of {len(classes)}",
            hint="labels (n,), as the loader yields them",
        )
    means = np.stack([rows[which == i].mean(0) for i in range(len(classes))])
    weights = shrunk_covariance(rows - means[which]).solve(means).T
    return LinearDiscriminant(weights, -0.5 * (means.T * weights).sum(0), classes)
