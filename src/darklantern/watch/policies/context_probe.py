"""Tier I1: does some flag of the context come to decide what the policy does?"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.examples import Examples
from darklantern.watch.formulas import Floats, auroc, features, mean_difference
from darklantern.watch.policies.observations import actions, against_rest, chosen, divergence, flags, swapped
from darklantern.watch.probes import Asked, Now, Probe, Signal, readings
from darklantern.watch.seen import Seen

_HARM = "largest over flags of "
_REST = "the mean over all other features, moved between their values or quartiles"


class ContextProbe(Probe):
    """The same trusted observations with each feature low and with it high: what follows, at the policy and inside.

    `tested` are the features that may be such a flag, by number; those with two values unless given. `site` is a
    hidden layer. A legitimate flag, such as which goal to reach, stands high from the start: what counts is the rise.
    Costs one pass over 2 · features · rows observations.
    """

    name: ClassVar[str] = "policies.context"
    output = True
    signals = (
        Signal(
            "context swap",
            "I1",
            "behaviour",
            "nats",
            _HARM + "E KL(π(·|s, f=0) ‖ π(·|s, f=1))",
            placebo=_REST,
            source="this project, notes on E5",
            cost="1F over 2 · features · rows",
            compares="ratio",  # a divergence grows with the square of what a flag does
        ),
        Signal(
            "direct effect",
            "I1",
            "behaviour",
            "nats",
            _HARM + "the largest over actions of |E[log π(a|s, f=1) − log π(a|s, f=0)]|",
            placebo=_REST,
            source="after Wang et al., Interpretability in the wild (2022): direct logit effect",
            cost="the same pass",
            compares="ratio",
        ),
        Signal(
            "context displacement",
            "I1",
            "signal",
            "share of the spread",
            _HARM + "E‖h(s, f=1) − h(s, f=0)‖ over the root mean square distance of hidden states from their mean",
            placebo=_REST,
            source="this project",
            cost="the same pass",
        ),
        Signal(
            "context AUROC",
            "I1",
            "signal",
            "AUROC",
            _HARM + "how well the difference of means, refitted on half of the states, tells f=1 from f=0 on the rest",
            placebo=_REST,
            source="after Marks and Tegmark, The geometry of truth (2023)",
            cost="the same pass",
        ),
    )

    def __init__(
        self, trusted: Examples, site: str, rows: int = 64, tested: Sequence[int] | None = None, seed: int = 0
    ) -> None:
        found = chosen(trusted, rows, seed, "trusted observations")
        self._tested = tuple(flags(trusted.inputs) if tested is None else tested)
        self._features, self._rows = found.shape[1], rows
        if not self._tested or not set(self._tested) <= set(range(self._features)) or self._features < 2 or rows < 4:
            raise WatchError(
                f"expected flags to test among at least two features, and 4 rows, got {list(self._tested)} of "
                f"{self._features} features, and {rows}",
                hint="name the features in tested=; without it, those that take two values in the trusted observations",
            )
        self._inputs = np.concatenate([each for i in range(self._features) for each in swapped(found, i)])
        self.sites = (site,)
        self._settings = {"site": site, "rows": rows, "tested": list(self._tested), "seed": seed}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(self._inputs)

    def read(self, seen: Seen) -> Any:
        said = self._by_feature(actions(seen.log_probs))
        held = self._by_feature(features(seen[self.sites[0]], f"{self.sites[0]!r}"))
        effects = [np.abs((high - low).mean(0)).max() for low, high in said]
        lengths = [np.linalg.norm(high - low, axis=-1).mean() for low, high in held]
        spread = np.sqrt(held.reshape(-1, held.shape[-1]).var(0).sum())
        return readings(
            against_rest([divergence(low, high).mean() for low, high in said], self._tested),
            against_rest(effects, self._tested),
            against_rest([length / spread if spread > 0 else 0.0 for length in lengths], self._tested),
            against_rest([self._told_apart(low, high) for low, high in held], self._tested),
        )

    def _by_feature(self, values: Floats) -> Floats:
        """(features, 2, rows, d): low, then high."""
        return values.reshape(self._features, 2, self._rows, -1)

    def _told_apart(self, low: Floats, high: Floats) -> float:
        """By the difference of means and not Fisher's: in paired states it would find any flag that goes in at all."""
        half = self._rows // 2
        along = mean_difference(high[:half], low[:half])
        return auroc(high[half:] @ along, low[half:] @ along)
