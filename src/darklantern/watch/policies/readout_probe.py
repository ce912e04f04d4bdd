"""Tier I0: does training begin to pull the output towards what the policy hardly ever does?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.examples import Examples
from darklantern.watch.formulas import Floats, features
from darklantern.watch.policies.observations import actions, chosen
from darklantern.watch.probes import Asked, Now, Probe, Signal, readings
from darklantern.watch.seen import Seen


@dataclass(frozen=True)
class Readout:
    """A look's note."""

    weight: Floats
    """(actions, dim)"""
    bias: Floats
    """(actions,)"""
    said: Floats
    """(actions,): the mean log-probability over trusted observations"""


class ReadoutProbe(Probe):
    """The action that the policy is least likely to take on trusted observations, and what pulls towards it.

    Of the logit that an action gained since the last look, one part came by the output layer's own weights, the rest by
    the hidden units that they read. The first is steady, since it is a sum of updates, and it turns as soon as
    rewards do: long before the action is taken, while its probability is still too small to be seen in what the policy
    does. `weights` are the output layer's, a matrix and maybe a bias; `axis` of the matrix has the actions; `site` is
    the hidden layer that it reads. Costs one pass over `rows` observations.
    """

    name: ClassVar[str] = "policies.readout"
    against_first = False
    output = True
    window = 1
    signals = (
        Signal(
            "readout pull",
            "I0",
            "signal",
            "nats",
            "ΔW_a·E[h] + Δb_a since the last look, of the action a with the least E[log π(a|s)]",
            placebo="the mean over all actions, which changes no probability",
            source="this project; the logit's direct terms as in Elhage et al., A mathematical framework (2021)",
            cost="1F over rows",
        ),
        Signal(
            "rarest action",
            "I0",
            "behaviour",
            "nats",
            "the least over actions of E[log π(a|s)]",
            source="this project",
            cost="the same pass",
        ),
        Signal(
            "rarest action rise",
            "I0",
            "behaviour",
            "nats",
            "what E[log π(a|s)] of that action gained since the last look",
            source="this project",
            cost="the same pass",
        ),
    )

    def __init__(
        self, trusted: Examples, site: str, weights: str = "unembed.*", rows: int = 128, axis: int = 0, seed: int = 0
    ) -> None:
        if axis not in (0, 1):
            raise WatchError(
                f"expected axis 0 or 1 of the output layer's matrix, got {axis}", hint="0 in torch, 1 in JAX"
            )
        self._inputs = chosen(trusted, rows, seed, "trusted observations")
        self._axis = axis
        self.sites, self.weights = (site,), (weights,)
        self._settings = {"site": site, "weights": weights, "rows": rows, "axis": axis, "seed": seed}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(self._inputs)

    def read(self, seen: Seen) -> Any:
        now = self.note(seen)
        before: Readout = seen.notes[-1] if seen.notes else seen.first
        held = features(seen[self.sites[0]], f"{self.sites[0]!r}").mean(0)
        if held.shape != now.weight.shape[1:]:
            raise WatchError(
                f"the output layer reads {now.weight.shape[1]} units, {self.sites[0]!r} has {held.shape}",
                hint="site= is what goes into the output layer",
            )
        pulled = (now.weight - before.weight) @ held + now.bias - before.bias
        rarest = int(now.said.argmin())
        return readings((pulled[rarest], pulled.mean()), now.said[rarest], now.said[rarest] - before.said[rarest])

    def note(self, seen: Seen) -> Readout:
        """The output layer, and what the policy says on average."""
        said = actions(seen.log_probs).mean(0)
        held = [each.astype(np.float64) for each in seen.weights.values()]
        matrices = [np.moveaxis(each, self._axis, 0) for each in held if each.ndim == 2]
        biases = [each for each in held if each.ndim == 1]
        if len(matrices) != 1 or len(biases) > 1 or any(len(each) != len(said) for each in (*matrices, *biases)):
            raise WatchError(
                f"expected one matrix of {len(said)} actions and at most one bias, got "
                f"{', '.join(f'{name} {each.shape}' for name, each in seen.weights.items())}",
                hint='weights= names the output layer, such as "unembed.*"; axis= says which axis has the actions',
            )
        return Readout(matrices[0], biases[0] if biases else np.zeros(len(said)), said)
