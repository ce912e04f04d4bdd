"""Class directions inside a model: towards which class does something move what the model holds?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.formulas import Floats, features, shrunk_covariance


@dataclass(frozen=True)
class Compass:
    """One direction for each class, from the mean of all examples to the class's own."""

    directions: Floats
    """(classes, d), each divided by the examples' standard deviation along it; zeros for a class at the very mean"""

    def toward(self, moved: Floats) -> Floats:
        """How far each of `moved` (…, d) goes towards each class more than towards the mean class, (…, classes).

        In standard deviations of the examples along the class's direction.
        """
        along = moved @ self.directions.T
        made: Floats = along - along.mean(-1, keepdims=True)
        return made


def compass(values: Floats, labels: NDArray[np.int64]) -> Compass:
    """The class directions of trusted features (n, …) with their `labels` (n,). Raises WatchError for NaN.

    Σ⁻¹(μ_c − μ), along which a linear readout tells the class apart (Fisher's discriminant), with Σ shrunk. Scaled by
    the spread of all examples and not of a class's own: that falls to 0 where a trained network holds all examples of
    a class alike (Papyan et al., "Prevalence of neural collapse", 2020), and every patch would loom large.
    """
    rows = features(values, "trusted features")
    centred = rows - rows.mean(0)
    classes, which = np.unique(labels, return_inverse=True)
    means = np.stack([centred[which == each].mean(0) for each in range(len(classes))])
    within = shrunk_covariance(centred - means[which])
    towards = within.solve(means)
    spread = (centred @ towards.T).std(0)[:, None]
    return Compass(np.divide(towards, spread, out=np.zeros_like(towards), where=spread > 0))
