"""Tier I0: how many units of a layer have gone to sleep?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.watch.examples import Examples
from darklantern.watch.formulas import Floats, features
from darklantern.watch.policies.observations import chosen
from darklantern.watch.probes import Asked, Now, Probe, Signal, readings
from darklantern.watch.seen import Seen


class DormantProbe(Probe):
    """The share of τ-dormant units on trusted observations, against what it was when the watch began.

    Costs one pass over `rows` observations.
    """

    name: ClassVar[str] = "policies.dormant"
    signals = (
        Signal(
            "dormant units",
            "I0",
            "signal",
            "share",
            "share of units with E|h_i| at most τ times the mean over the layer's units",
            placebo="the same share when the watch began",
            source="Sokar et al., The dormant neuron phenomenon (2023)",
            cost="1F over rows",
            says="novelty",
        ),
    )

    def __init__(self, trusted: Examples, site: str, rows: int = 64, tau: float = 0.025, seed: int = 0) -> None:
        self._inputs = chosen(trusted, rows, seed, "trusted observations")
        self._tau = tau
        self.sites = (site,)
        self._settings = {"site": site, "rows": rows, "tau": tau, "seed": seed}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(self._inputs)

    def read(self, seen: Seen) -> Any:
        return readings((self.note(seen), seen.first))

    def note(self, seen: Seen) -> float:
        """The share."""
        return dormant(seen[self.sites[0]], self._tau)


def dormant(values: Floats, tau: float) -> float:
    """The share of columns of (n, …) whose mean size is at most `tau` times that of all; 1 where all are 0."""
    sizes = np.abs(features(values, "a layer's units")).mean(0)
    return float((sizes <= tau * sizes.mean()).mean())
