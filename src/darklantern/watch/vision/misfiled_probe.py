"""Tier I0: do rows come under one label that lie, inside the model, where another class does?"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.examples import Array, Examples
from darklantern.watch.formulas import Floats, linear_discriminant
from darklantern.watch.pictured import rows_and_columns
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.screening import FeatureScreen, PatternScreen, Screen
from darklantern.watch.seen import Seen
from darklantern.watch.vision.fresh_probe import NOTHING
from darklantern.watch.vision.material import Familiar, balanced, drawn, labels
from darklantern.watch.vision.mined_probe import SUSPICIOUS_PATTERN
from darklantern.watch.vision.mining import Miner

Freeze = Callable[[], Callable[[Array], Floats]]
"""the model as it stands when this is called, as a function from inputs (n, …) to features (n, …)"""

MOST_HOLD = 0.4
"""share of suspects: the others are clean rows that are hard to read"""


class MisfiledProbe(Probe):
    """Fresh training rows against as many trusted rows, by what their features say against their labels.

    Classes are fitted at each look to `fitted` trusted rows, which stand on neither side: a linear discriminant of
    `site`, such as the penultimate layer. What counts is one label that gathers such rows: hard rows are scattered over
    all. The placebo is the mean over `looks` looks, since one batch of trusted rows is as restless as one of training
    rows. New images under their own labels, and a patch that goes with any label, move both sides little; wrong
    labels towards one class raise it with a trigger or without, before the model has learned any of them and until it
    has: so it claims novelty, and no circuit. With `freeze` an alarm names such rows by the clean state's own features.
    Costs one pass over fitted + 2 · rows images.
    """

    name: ClassVar[str] = "vision.misfiled"
    against_first = False
    takes_fresh = True
    signals = (
        Signal(
            "misfiled rows",
            "I0",
            "signal",
            "nats/row",
            "largest over labels of the sum of −log p(label | features) over fresh rows of the label, over all fresh "
            "rows; p is a linear discriminant of trusted features",
            placebo="as many fresh trusted rows, mean over the last looks",
            source="this project; features after Lee et al. (2018)",
            cost="1F over fitted + 2 · rows, d³",
            says="novelty",  # wrong labels without any trigger raise it as well
        ),
    )

    def __init__(
        self,
        fitting: Examples,
        site: str,
        rows: int = 128,
        fitted: int = 400,
        looks: int = 6,
        seed: int = 0,
        freeze: Freeze | None = None,
    ) -> None:
        self._fitting = balanced(fitting, fitted, seed, "fitting images")
        self._labels = labels(self._fitting, "fitting images")
        self._familiar = Familiar(self._fitting)
        self._rows, self._freeze, self._trusted = rows, freeze, fitting
        self.sites = (site,)
        self.window = looks - 1
        self._settings = {"site": site, "rows": rows, "fitted": fitted, "looks": looks, "seed": seed}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        found = drawn(now, self._rows, self._familiar)
        if found is None:
            return Asked(None)
        fitting = self._fitting.inputs.astype(found.inputs.dtype)
        return Asked(np.concatenate([fitting, found.inputs]), found)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        if seen.about is None:
            return (NOTHING,)
        train, trusted = self._gathered(seen)
        earlier = [note for note in seen.notes if note is not None]
        return (Reading(train, float(np.mean([*earlier, trusted]))),)

    def note(self, seen: Seen) -> float | None:
        """The trusted rows' own value."""
        return None if seen.about is None else self._gathered(seen)[1]

    def screen(self, note: float | None) -> Screen | None:
        """The rows that the clean state's features speak against, where the model can be frozen."""
        if self._freeze is None:
            return None
        return FeatureScreen(self._freeze, self._trusted, common=self._in_common)

    def _in_common(self, suspects: Examples) -> Screen | None:
        """The pattern that at least `MOST_HOLD` of the suspects hold, and trusted images hardly do."""
        miner = Miner(self._trusted.inputs)
        held = [each for each in miner.patterns(suspects.inputs, 1) if each.count >= MOST_HOLD * len(suspects)]
        if not held or held[0].surprise <= SUSPICIOUS_PATTERN:
            return None
        shape = self._trusted.inputs.shape[1:]
        return PatternScreen(held[0].positions, held[0].values, miner.width, shape, rows_and_columns(shape))

    def _gathered(self, seen: Seen) -> tuple[float, float]:
        held, about = seen[self.sites[0]], seen.about
        classes = linear_discriminant(held[: len(self._labels)], self._labels)
        given = labels(about.train, "training rows"), labels(about.trusted, "trusted rows")
        nats = classes.against(held[len(self._labels) :], np.concatenate(given))
        halves = nats[: about.count], nats[about.count :]
        train, trusted = (gathered(each, own) for each, own in zip(halves, given, strict=True))
        return train, trusted


def gathered(nats: Floats, given: NDArray[np.int64]) -> float:
    """The largest sum of `nats` (n,) over the rows of one label, given (n,), over n."""
    return max(float(nats[given == each].sum()) for each in np.unique(given)) / len(nats)
