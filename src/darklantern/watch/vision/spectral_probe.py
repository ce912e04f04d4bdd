"""Tier I0: within a class, do training rows stick out along the direction in which the class varies most?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.formulas import Floats, features
from darklantern.watch.probes import Signal
from darklantern.watch.seen import Seen
from darklantern.watch.vision.fresh_probe import FreshProbe, halves
from darklantern.watch.vision.material import labels

LEAST = 4
"""rows of a class, of both kinds together, below which its direction says nothing: they score 0"""


class SpectralProbe(FreshProbe):
    """Spectral signatures of fresh training rows and trusted rows, class by class, with one direction for both kinds.

    The paper centres and rotates by the training rows alone; here both kinds together decide, so that neither is
    favoured when nothing is wrong. On the digits of `notes/watch.md` the ratio over a whole run told poisoned runs
    from clean ones no better than chance; the rows' order did better. Costs one pass over 2 · rows images and an SVD.
    """

    name: ClassVar[str] = "vision.spectral"
    signals = (
        Signal(
            "spectral signature",
            "I0",
            "signal",
            "variances",
            "of the highest tenth of fresh rows, ((h − μ_c)·v₁)², v₁ the first principal direction of the rows of the "
            "class, over the mean of the class",
            placebo="as many fresh trusted rows",
            source="Tran et al., Spectral signatures in backdoor attacks (2018)",
            cost="1F over 2 · rows, an SVD for each class",
            detector="betting",
            says="novelty",
        ),
    )

    def __init__(self, site: str, rows: int = 64, share: float = 0.1) -> None:
        self.sites = (site,)
        self.rows, self.share = rows, share

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"site": self.sites[0], "rows": self.rows, "share": self.share, "least": LEAST}

    def scored(self, seen: Seen) -> Mapping[str, tuple[Floats, Floats]]:
        held = features(seen[self.sites[0]], "features")
        about = seen.about
        given = np.concatenate([labels(about.train, "training rows"), labels(about.trusted, "trusted rows")])
        return {"spectral signature": halves(signatures(held, given), about)}


def signatures(held: Floats, given: NDArray[np.int64]) -> Floats:
    """((h − μ_c)·v₁)² of features (n, d) and classes (n,), over its mean in the class, (n,).

    0 for the rows of a class of fewer than `LEAST`, or whose rows are all alike.
    """
    scores = np.zeros(len(held))
    for each in np.unique(given):
        mine = given == each
        if mine.sum() < LEAST:
            continue
        centred = held[mine] - held[mine].mean(0)
        squares = (centred @ np.linalg.svd(centred, full_matrices=False)[2][0]) ** 2
        if squares.mean() > 0:
            scores[mine] = squares / squares.mean()
    return scores
