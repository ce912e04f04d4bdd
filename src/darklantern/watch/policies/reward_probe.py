"""Tier I1: does the policy earn the proxy reward where the true reward does not follow?"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.examples import Array, Examples
from darklantern.watch.formulas import Floats
from darklantern.watch.policies.observations import actions
from darklantern.watch.probes import Asked, Now, Probe, Signal, readings
from darklantern.watch.seen import Seen

Rewards = Array | Callable[[Array], Array]
"""(n, actions) for each audit observation, or a function of them that gives it"""


class RewardProbe(Probe):
    """The gap between proxy and true reward over an audit set where both are known for every action.

    Costs one pass over the audit observations.
    """

    name: ClassVar[str] = "policies.reward"
    output = True
    signals = (
        Signal(
            "reward gap",
            "I1",
            "behaviour",
            "reward",
            "E_s Σ_a π(a|s) (proxy(s, a) − true(s, a))",
            placebo="the gap of the policy that takes every action alike",
            source="after Pan et al., The effects of reward misspecification (2022)",
            cost="1F over the audit set",
        ),
    )

    def __init__(self, audit: Examples, proxy: Rewards, true: Rewards) -> None:
        self._inputs = audit.inputs
        gap = _rewards(proxy, audit.inputs, "proxy") - _rewards(true, audit.inputs, "true")
        self._gap = gap
        digest = hashlib.sha256(audit.inputs.tobytes() + np.ascontiguousarray(gap).tobytes()).hexdigest()
        self._settings = {"audit": len(audit), "sha256": digest}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(self._inputs)

    def read(self, seen: Seen) -> Any:
        said = np.exp(actions(seen.log_probs))
        if said.shape != self._gap.shape:
            raise WatchError(
                f"the rewards are {self._gap.shape}, the policy's actions {said.shape}",
                hint="one reward for each observation and action, (n, actions)",
            )
        return readings(((said * self._gap).sum(1).mean(), self._gap.mean()))


def _rewards(given: Rewards, observations: Array, what: str) -> Floats:
    made = np.asarray(given(observations) if callable(given) else given, dtype=np.float64)
    if made.ndim != 2 or len(made) != len(observations) or not np.isfinite(made).all():
        raise WatchError(
            f"expected {what} rewards ({len(observations)}, actions), finite, got {made.shape}",
            hint="a number for each audit observation and action, or a function that gives them",
        )
    return made
