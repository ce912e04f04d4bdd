"""Tier I0: does the policy become surer of itself?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.watch.examples import Examples
from darklantern.watch.policies.observations import actions, chosen
from darklantern.watch.probes import Asked, Now, Probe, Signal, readings
from darklantern.watch.seen import Seen


class EntropyProbe(Probe):
    """The certainty of the policy on trusted observations, against states put together from several of them.

    Costs one pass over 2 · rows observations.
    """

    name: ClassVar[str] = "policies.entropy"
    output = True
    signals = (
        Signal(
            "certainty",
            "I0",
            "behaviour",
            "nats",
            "log of the number of actions minus the mean entropy of the policy over trusted observations",
            placebo="observations with each feature from another one",
            source="Shannon (1948); as a collapse of exploration, Mnih et al. (2016)",
            cost="1F over 2 · rows",
            says="novelty",
        ),
    )

    def __init__(self, trusted: Examples, rows: int = 64, seed: int = 0) -> None:
        found = chosen(trusted, rows, seed, "trusted observations")
        mixed = np.random.default_rng(seed).permuted(found, axis=0)
        self._inputs, self._rows = np.concatenate([found, mixed]), rows
        self._settings = {"rows": rows, "seed": seed}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(self._inputs)

    def read(self, seen: Seen) -> Any:
        said = actions(seen.log_probs)
        never = np.isneginf(said)
        sure = np.log(said.shape[1]) + (np.exp(said) * np.where(never, 0.0, said)).sum(1)
        return readings((sure[: self._rows].mean(), sure[self._rows :].mean()))
