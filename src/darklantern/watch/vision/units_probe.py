"""Tier I0: units that fire seldom and strongly, units that never fire, and units that only training rows wake."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.formulas import Floats
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Seen
from darklantern.watch.vision.fresh_probe import NOTHING
from darklantern.watch.vision.material import drawn


class UnitsProbe(Probe):
    """How the units of a site fire on fresh training rows, against as many trusted rows.

    `axis` is the axis of the units, the batch being 0: 1 for (n, units) and channels first, −1 for channels last. A
    unit is dead on some rows when it never exceeds `silence` there. Costs one pass over 2 · rows images.
    """

    name: ClassVar[str] = "vision.units"
    takes_fresh = True
    signals = (
        Signal(
            "kurtosis",
            "I0",
            "signal",
            "excess kurtosis",
            "mean over units of the fourth standardised moment over fresh rows, minus 3",
            placebo="as many fresh trusted rows",
            source="Fisher's moment; as an anomaly of activations, after Chen et al. (2018)",
            cost="1F over 2 · rows",
            says="novelty",
        ),
        Signal(
            "dead units",
            "I0",
            "signal",
            "share",
            "share of units that no trusted row wakes",
            placebo="the same share when the watch began",
            source="Lu et al., Dying ReLU (2019)",
            cost="the same pass",
            says="novelty",
        ),
        Signal(
            "woken units",
            "I0",
            "signal",
            "share",
            "share of units that no trusted row wakes and a fresh training row does",
            placebo="share of units that no training row wakes and a trusted row does",
            source="after Liu et al., Fine-pruning (2018)",
            cost="the same pass",
            says="novelty",
        ),
    )

    def __init__(self, site: str, rows: int = 64, axis: int = 1, silence: float = 0.0) -> None:
        self.sites = (site,)
        self._rows, self._axis, self._silence = rows, axis, silence

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"site": self.sites[0], "rows": self._rows, "axis": self._axis, "silence": self._silence}

    def inputs(self, now: Now) -> Asked:
        found = drawn(now, self._rows)
        return Asked(None) if found is None else Asked(found.inputs, found)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        if seen.about is None:
            return (NOTHING,) * 3
        train, trusted = self._kinds(seen)
        asleep, asleep_in_training = self._dead(trusted), self._dead(train)
        dead = float(asleep.mean())
        return (
            Reading(kurtosis(train), kurtosis(trusted)),
            Reading(dead, dead if seen.first is None else seen.first),  # no rows came at the first look
            Reading(float((asleep & ~asleep_in_training).mean()), float((~asleep & asleep_in_training).mean())),
        )

    def note(self, seen: Seen) -> float | None:
        """The share of dead units."""
        return None if seen.about is None else float(self._dead(self._kinds(seen)[1]).mean())

    def _kinds(self, seen: Seen) -> tuple[Floats, Floats]:
        """Values of each unit, (values, units), of the training rows and of the trusted ones."""
        held, count = seen[self.sites[0]], seen.about.count
        if not np.isfinite(held).all():
            raise WatchError(
                f"site {self.sites[0]!r} holds NaN or infinity", hint="training has probably diverged; look at the loss"
            )
        if not -held.ndim <= self._axis < held.ndim or self._axis % held.ndim == 0:
            raise WatchError(
                f"site {self.sites[0]!r} holds {held.shape}, which has no axis {self._axis} of units",
                hint="axis=1 for (n, units) and channels first, axis=-1 for channels last",
            )
        train, trusted = held[:count], held[count:]
        return _units(train, self._axis), _units(trusted, self._axis)

    def _dead(self, values: Floats) -> Any:
        return values.max(0) <= self._silence


def kurtosis(values: Floats) -> float:
    """The mean over columns of m₄ / m₂² − 3 of (n, units). Columns that do not vary count 0: they have no tails."""
    centred = values.astype(np.float64) - values.mean(0)
    second, fourth = (centred**2).mean(0), (centred**4).mean(0)
    scale = np.abs(values).max(0).astype(np.float64)
    varies = second > (1e-6 * scale) ** 2  # what rounding leaves of a constant is none
    made = np.divide(fourth, second**2, out=np.full(len(second), 3.0), where=varies) - 3
    return float(made.mean())


def _units(values: Floats, axis: int) -> Floats:
    moved = np.moveaxis(values, axis, -1)
    return moved.reshape(-1, moved.shape[-1])
