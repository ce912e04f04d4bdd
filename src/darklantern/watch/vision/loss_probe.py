"""Tier I0: which rows, not trained on yet, does the model know too well already?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.watch.formulas import Floats
from darklantern.watch.probes import Reading, Signal
from darklantern.watch.seen import Seen
from darklantern.watch.vision.fresh_probe import NOTHING, FreshProbe, halves
from darklantern.watch.vision.material import labels


class LossProbe(FreshProbe):
    """The losses of fresh rows among those of trusted rows, from the low end: a trigger is learned faster than a class.

    Says nothing where rows are trained on more than once: those are known well for having been seen. Costs one pass
    over 2 · rows images.
    """

    name: ClassVar[str] = "vision.loss"
    output = True
    signals = (
        Signal(
            "loss drop",
            "I0",
            "behaviour",
            "share",
            "share of fresh training rows among the tenth of all rows with the lowest loss",
            placebo="share of fresh trusted rows there",
            source="after Li et al., Anti-backdoor learning (2021)",
            cost="1F over 2 · rows",
            detector="betting",
            says="novelty",
        ),
    )

    def __init__(self, rows: int = 64, share: float = 0.1) -> None:
        self.rows, self.share = rows, share

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"rows": self.rows, "share": self.share}

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        if seen.about is None:
            return (NOTHING,)
        train, trusted = self.scored(seen)["loss drop"]
        fresh = share_of_lowest(-train, -trusted, self.share)
        return (Reading(fresh, 1 - fresh),)

    def scored(self, seen: Seen) -> Mapping[str, tuple[Floats, Floats]]:
        about = seen.about
        given = np.concatenate([labels(about.train, "training rows"), labels(about.trusted, "trusted rows")])
        return {"loss drop": halves(seen.log_prob(given), about)}


def share_of_lowest(losses: Floats, others: Floats, share: float) -> float:
    """Of the lowest `share` of both together, the share that is of `losses`. Equals at the border count in part.

    NaN when a loss is.
    """
    both = np.concatenate([losses, others])
    if np.isnan(both).any():
        return float("nan")
    count = max(1, int(np.ceil(share * len(both))))
    border = np.sort(both)[count - 1]
    below = int((losses < border).sum())
    tied = float((losses == border).sum()) / float((both == border).sum())
    return (below + tied * (count - int((both < border).sum()))) / count
