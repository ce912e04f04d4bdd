"""Tier I0: do the training rows of some class fall into two groups inside the model?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.formulas import Floats, features
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Seen
from darklantern.watch.vision.clusters import silhouette, two_means
from darklantern.watch.vision.fresh_probe import NOTHING
from darklantern.watch.vision.material import drawn, labels

LEAST = 6
"""rows of a class of either kind, below which its clusters say nothing"""


class ClusteringProbe(Probe):
    """Two-means over the training rows of each class, reduced to their first `dimensions`, against trusted rows.

    A batch must hold `LEAST` rows of a class and as many trusted ones; classes with fewer are left out, and with none
    left there is nothing to read. Costs one pass over 2 · rows images, n² distances for each class.
    """

    name: ClassVar[str] = "vision.clustering"
    takes_fresh = True
    signals = (
        Signal(
            "cluster silhouette",
            "I0",
            "signal",
            "silhouette",
            "largest over classes of the silhouette of two-means over the fresh rows of a class",
            placebo="as many fresh trusted rows of the class",
            source="Chen et al., Detecting backdoor attacks by activation clustering (2018)",
            cost="1F over 2 · rows, n² for each class",
            says="novelty",
        ),
        Signal(
            "small cluster",
            "I0",
            "signal",
            "share",
            "one half minus the share of the smaller cluster, in the class whose silhouette is largest",
            placebo="as many fresh trusted rows of the class",
            source="Chen et al. (2018)",
            cost="the same pass",
            says="novelty",
        ),
    )

    def __init__(self, site: str, rows: int = 128, dimensions: int = 10) -> None:
        self.sites = (site,)
        self._rows, self._dimensions = rows, dimensions

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"site": self.sites[0], "rows": self._rows, "dimensions": self._dimensions, "least": LEAST}

    def inputs(self, now: Now) -> Asked:
        found = drawn(now, self._rows)
        return Asked(None) if found is None else Asked(found.inputs, found)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        if seen.about is None:
            return NOTHING, NOTHING
        held, about = features(seen[self.sites[0]], "features"), seen.about
        kinds = (held[: about.count], held[about.count :])
        given = (labels(about.train, "training rows"), labels(about.trusted, "trusted rows"))
        best: list[tuple[float, float]] = [(0.0, 0.0), (0.0, 0.0)]
        for each in np.unique(given[0]):
            # As many of either kind: silhouettes of few rows are larger.
            count = min(int((mine == each).sum()) for mine in given)
            if count < LEAST:
                continue
            for kind in (0, 1):
                best[kind] = max(best[kind], self._split(kinds[kind][_first(given[kind] == each, count)]))
        return tuple(Reading(value, placebo) for value, placebo in zip(*best, strict=True))

    def _split(self, rows: Floats) -> tuple[float, float]:
        """The silhouette, and how uneven the clusters are."""
        centred = rows - rows.mean(0)
        left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
        reduced = left[:, : self._dimensions] * sizes[: self._dimensions]
        second = two_means(reduced)
        small = min(int(second.sum()), int((~second).sum())) / len(second)
        return silhouette(reduced, second), 0.5 - small if small else 0.0


def _first(which: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    return np.flatnonzero(which)[:count]
