"""Tier I0: do fresh training rows lie inside the model where trusted rows of their label do?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.examples import Examples
from darklantern.watch.formulas import Cloud, Floats, cloud, features
from darklantern.watch.probes import Asked, Now, Signal
from darklantern.watch.seen import Seen
from darklantern.watch.vision.fresh_probe import FreshProbe, halves
from darklantern.watch.vision.material import Familiar, balanced, labels


class MahalanobisProbe(FreshProbe):
    """Fresh training rows and fresh trusted rows, by their distance to classes fitted on a third, fixed set.

    A planted label shows in the label distance while the network still sees what the image is, and in the row distance
    once it has learned the trigger; the class distance holds both. The fitting set is of the law of the training rows,
    for held-out images lie elsewhere in the model. It is run again under the present weights at each look, and its
    rows stand on neither side. `site` has few features, such as the penultimate layer's. Costs one pass over
    fitting + 2 · rows images, and d³.
    """

    name: ClassVar[str] = "vision.mahalanobis"
    signals = (
        Signal(
            "class distance",
            "I0",
            "signal",
            "squared distances",
            "of the highest tenth of fresh rows, the Mahalanobis distance to their own label's class: rows that look "
            "like another class, and rows unlike any",
            placebo="as many fresh trusted rows",
            source="Lee et al. (2018)",
            cost="the same pass",
            detector="betting",
            says="novelty",
        ),
        Signal(
            "label distance",
            "I0",
            "signal",
            "squared distances",
            "of the highest tenth of fresh rows, the Mahalanobis distance to their own label's class minus that to "
            "the nearest other class: rows that look like another class than they say",
            placebo="as many fresh trusted rows",
            source="after Lee et al. (2018)",
            cost="1F over fitting + 2 · rows, d³",
            detector="betting",
            says="novelty",  # wrong labels without any trigger raise it as well
        ),
        Signal(
            "row distance",
            "I0",
            "signal",
            "squared distances",
            "of the highest tenth of fresh rows, the Mahalanobis distance to the nearest class: rows unlike any",
            placebo="as many fresh trusted rows",
            source="Lee et al. (2018)",
            cost="the same pass",
            detector="betting",
            says="novelty",
        ),
    )

    def __init__(
        self, fitting: Examples, site: str, rows: int = 64, fitted: int = 200, share: float = 0.1, seed: int = 0
    ) -> None:
        self._fitting = balanced(fitting, fitted, seed, "fitting images")
        self._labels = labels(self._fitting, "fitting images")
        self.rows, self.share = rows, share
        self.familiar = Familiar(self._fitting)
        self.sites = (site,)
        self._settings = {"site": site, "rows": rows, "fitted": fitted, "share": share, "seed": seed}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        asked = super().inputs(now)
        if asked.inputs is None:
            return asked
        fitting = self._fitting.inputs.astype(asked.inputs.dtype)
        return Asked(np.concatenate([fitting, asked.inputs]), asked.about)

    def scored(self, seen: Seen) -> Mapping[str, tuple[Floats, Floats]]:
        held, about = seen[self.sites[0]], seen.about
        fitted = cloud(held[: len(self._labels)], self._labels)
        squares = _to_classes(fitted, held[len(self._labels) :])
        given = np.concatenate([labels(about.train, "training rows"), labels(about.trusted, "trusted rows")])
        own = own_distance(squares, fitted.labels, given)
        by_label = own - nearest_other(squares, fitted.labels, given)
        return {
            "class distance": halves(own, about),
            "label distance": halves(by_label, about),
            "row distance": halves(squares.min(1), about),
        }


def own_distance(squares: Floats, classes: NDArray[Any], given: NDArray[np.int64]) -> Floats:
    """Of distances (n, classes), that to the class `given` (n,) for each row, (n,).

    A row whose class has no fitting rows counts as far from it as from the farthest there is: such a label is strange,
    but how strange nothing says.
    """
    own = given[:, None] == classes
    made: Floats = np.where(own.any(1), np.where(own, squares, 0.0).sum(1), squares.max(1))
    return made


def nearest_other(squares: Floats, classes: NDArray[Any], given: NDArray[np.int64]) -> Floats:
    """Of distances (n, classes), the least to any class but the one `given` (n,) for each row, (n,)."""
    made: Floats = np.where(given[:, None] == classes, np.inf, squares).min(1)
    return made


def _to_classes(fitted: Cloud, values: Floats) -> Floats:
    """Squared distances (n, classes)."""
    rows = features(values, "features")
    return np.stack([fitted.covariance.squares(rows - mean) for mean in fitted.means], axis=1)
