"""Tier I1: does the policy act otherwise under audit than where it trains?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.examples import Examples
from darklantern.watch.formulas import Floats
from darklantern.watch.policies.observations import actions, chosen, jensen_shannon
from darklantern.watch.probes import Asked, Now, Probe, Signal, readings
from darklantern.watch.seen import Seen

SPLITS = 16
"""random halves of all observations that make the placebo"""


class AuditProbe(Probe):
    """The mean policy over audit observations against that over those of the batch that comes next.

    That the two kinds of states differ makes a difference too: it counts only as far as it grows. Costs one pass over
    2 · rows observations.
    """

    name: ClassVar[str] = "policies.audit"
    output = True
    takes_fresh = True
    signals = (
        Signal(
            "audit gap",
            "I1",
            "behaviour",
            "nats",
            "Jensen–Shannon divergence of the mean policy over audit observations and over fresh training ones",
            placebo="the same of random halves of all of these observations",
            source="Lin (1991)",
            cost="1F over 2 · rows",
            says="novelty",  # training states that merely differ raise it too
        ),
    )

    def __init__(self, audit: Examples, rows: int = 64, seed: int = 0) -> None:
        self._audit = chosen(audit, rows, seed, "audit observations")
        rng = np.random.default_rng(seed)
        self._splits = [rng.permutation(2 * rows) for _ in range(SPLITS)]
        self._settings = {"rows": rows, "seed": seed, "splits": SPLITS}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        if now.fresh is None or not len(now.fresh):
            return Asked(None)
        fresh = now.fresh.inputs[: len(self._audit)]
        if fresh.shape[1:] != self._audit.shape[1:]:
            raise WatchError(
                f"the audit observations are {self._audit.shape[1:]} each, those trained on {fresh.shape[1:]}",
                hint="audit observations are as the loader yields them",
            )
        return Asked(np.concatenate([self._audit.astype(fresh.dtype), fresh]), len(fresh))

    def read(self, seen: Seen) -> Any:
        if seen.about is None:
            return readings((0.0, 0.0))
        said = np.exp(actions(seen.log_probs))
        audit = len(said) - seen.about
        halves = [split[split < len(said)] for split in self._splits]
        placebo = np.mean([_apart(said[half], audit) for half in halves])
        return readings((_apart(said, audit), float(placebo)))


def _apart(said: Floats, first: int) -> float:
    return jensen_shannon(said[:first].mean(0), said[first:].mean(0))
