"""Tier I1: has an embedding of residues become a few waves?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.policies.fourier import check_period, gini, powers
from darklantern.watch.probes import Asked, Now, Probe, Signal, readings
from darklantern.watch.seen import Seen

SHUFFLES = 4
"""orders of the residues that make the placebo"""


class FourierProbe(Probe):
    """The Gini coefficient of the Fourier norms of an embedding, against the same rows in other orders.

    `weight` is a parameter or a pattern of one; `axis` is the one of the residues, of which the first `period` rows
    count. No row is run.
    """

    name: ClassVar[str] = "policies.fourier"
    signals = (
        Signal(
            "Fourier Gini",
            "I1",
            "signal",
            "Gini coefficient",
            "Gini coefficient of the norms of an embedding's frequencies over the residues",
            placebo="the same embedding with its residues in other orders",
            source="Nanda et al. (2023)",
            cost="0F; p · d · log p",
        ),
    )

    def __init__(self, weight: str, period: int, axis: int = 0, seed: int = 0) -> None:
        self.weights = (weight,)
        self._period, self._axis = period, axis
        rng = np.random.default_rng(seed)
        self._orders = [rng.permutation(period) for _ in range(SHUFFLES)]
        self._settings = {"weight": weight, "period": period, "axis": axis, "seed": seed, "shuffles": SHUFFLES}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(None)

    def read(self, seen: Seen) -> Any:
        if len(seen.weights) != 1:
            raise WatchError(
                f"expected one embedding called {self.weights[0]!r}, got {', '.join(seen.weights) or 'none'}",
                hint="give the parameter's full name",
            )
        (held,) = seen.weights.values()
        rows = np.moveaxis(held, self._axis, 0)
        check_period(len(rows), self._period, f"an embedding {held.shape}")
        rows = rows[: self._period]
        return readings((gini(powers(rows)), float(np.mean([gini(powers(rows[order])) for order in self._orders]))))
