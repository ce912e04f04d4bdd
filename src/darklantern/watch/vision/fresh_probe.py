"""What the probes of fresh training rows share: rows by pairs with trusted ones, one score for each row."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from darklantern.watch.formulas import Floats
from darklantern.watch.probes import Asked, Now, Probe, Reading
from darklantern.watch.seen import Seen
from darklantern.watch.vision.material import Familiar, drawn, highest

NOTHING = Reading(0.0, 0.0)
"""when the loop has ended and no rows come next"""


class FreshProbe(Probe):
    """Fresh training rows against as many trusted ones, by a score of each row under the same weights.

    A signal reads the mean of the highest `share` of the scores, its placebo the same of the trusted rows. Where both
    kinds are fresh draws of one law, the scores are exchangeable, which is what a paired bet needs.
    """

    takes_fresh = True
    rows: int
    share: float
    familiar: Familiar | None = None
    """rows that the scores are fitted on or made with, which stand on neither side"""

    @abstractmethod
    def scored(self, seen: Seen) -> Mapping[str, tuple[Floats, Floats]]:
        """signal → a score for each training row and for each trusted row, higher being stranger; there are rows."""

    def inputs(self, now: Now) -> Asked:
        found = drawn(now, self.rows, self.familiar)
        return Asked(None) if found is None else Asked(found.inputs, found)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        if seen.about is None:
            return (NOTHING,) * len(self.signals)
        scores = self.scored(seen)
        return tuple(Reading(*(highest(each, self.share) for each in scores[signal.name])) for signal in self.signals)

    def scores(self, seen: Seen) -> Mapping[str, tuple[Floats, Floats]]:
        """signal → scores of the training rows and of as many trusted ones, all fresh and under the same weights.

        Empty when there is nothing to bet on: the loop has ended, or the pool of trusted rows is used up.
        """
        return self.scored(seen) if seen.about is not None and seen.about.paired else {}


def halves(scores: Floats, about: Any) -> tuple[Floats, Floats]:
    """The scores (2 · count,) of rows as `drawn` puts them together: training rows', trusted rows'."""
    return scores[: about.count], scores[about.count :]
