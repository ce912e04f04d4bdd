"""Does ablating the named sites remove a payload, and ablating others of their kind not? Then it is a circuit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darklantern.errors import WatchError
from darklantern.models.edits import project, zero
from darklantern.models.opened import Model
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site

REMOVED = 0.9
"""share of the payload that ablating the named sites must remove"""
SPARED = 0.1
"""share that ablating matched random sites may remove on average"""
Edits = Mapping[str | Site, Any]
Metric = Callable[[Any], Any]
"""a model's output → one number, how much of the payload is there"""


@dataclass(frozen=True)
class Ablation:
    """What is left of a payload without some sites, and without others of their kind."""

    before: float
    """the metric of the model as it is"""
    floor: float
    """the metric where there is no payload"""
    drops: Mapping[str, float]
    """site → share of the payload that is gone without it alone"""
    removed: float
    """share that is gone without all of them"""
    random: tuple[float, ...]
    """share that is gone without as many matched random ones, once for each draw"""

    @property
    def removed_at_random(self) -> float:
        """The mean over draws."""
        return float(np.mean(self.random))

    @property
    def is_circuit(self) -> bool:
        """Whether the named sites carry the payload, at least `REMOVED` of it, and others do not, at most `SPARED`."""
        return self.removed >= REMOVED and self.removed_at_random <= SPARED

    def __str__(self) -> str:
        word = "a circuit" if self.is_circuit else "no circuit"
        return f"{word}: {self.removed:.0%} removed, {self.removed_at_random:.0%} at matched random sites"


def ablation(
    model: Model,
    inputs: Any,
    metric: Metric,
    sites: Sequence[str | Site],
    spare: Sequence[str | Site],
    edit: Any = None,
    floor: float = 0.0,
    draws: int = 20,
    seed: int = 0,
) -> Ablation:
    """How much of `metric` goes without each of `sites`, without all of them, and without as many of `spare`.

    `spare` are live sites of the same kind that are not named, other heads of the same layers at the same positions for
    instance (`methods.circuits.controls` draws such): sites that can do nothing prove nothing. `edit` ablates, zero
    unless given; `floor` is the metric of inputs without the trigger. Costs 2 + sites + draws forward passes. Raises
    WatchError for fewer spare sites than named ones, for a site in both, and for a payload that is not there.
    """
    named, others = _distinct(sites), _distinct(spare)
    if not named or len(others) < len(named) or set(named) & set(others):
        raise WatchError(
            f"expected sites and at least as many other ones to compare with, got {len(named)} and {len(others)}, "
            f"{len(set(named) & set(others))} of them in both",
            hint="spare= takes sites of the same kind that are not under suspicion",
        )
    change = zero() if edit is None else edit
    rng = np.random.default_rng(seed)
    drawn = [[others[i] for i in rng.choice(len(others), len(named), replace=False)] for _ in range(draws)]
    return _compared(
        model,
        inputs,
        metric,
        {site: {site: change} for site in named},
        {site: change for site in named},
        [{site: change for site in each} for each in drawn],
        floor,
    )


def direction_ablation(
    model: Model,
    inputs: Any,
    metric: Metric,
    directions: Mapping[str | Site, Any],
    floor: float = 0.0,
    draws: int = 20,
    seed: int = 0,
) -> Ablation:
    """As `ablation`, of directions (dim,) in the last axis of sites, against random directions at the same sites."""
    if not directions:
        raise WatchError("expected directions to ablate, got none", hint='{"layers.3:out": direction}')
    named: dict[str | Site, Any] = {str(site): np.asarray(each, dtype=np.float32) for site, each in directions.items()}
    rng = np.random.default_rng(seed)
    drawn = [
        {site: project(rng.normal(size=each.shape).astype(np.float32)) for site, each in named.items()}
        for _ in range(draws)
    ]
    own = {site: project(each) for site, each in named.items()}
    return _compared(model, inputs, metric, {str(site): {site: own[site]} for site in own}, own, drawn, floor)


def _compared(
    model: Model,
    inputs: Any,
    metric: Metric,
    alone: Mapping[str, Edits],
    together: Edits,
    drawn: Sequence[Edits],
    floor: float,
) -> Ablation:
    def measured(edits: Edits) -> float:
        with without_gradients():
            return float(metric(model.run(inputs, edits)))

    before = measured({})
    if not before > floor:  # NaN too
        raise WatchError(
            f"the metric is {before:g} on these inputs, and {floor:g} without a payload: there is nothing to remove",
            hint="give inputs with the trigger, and a metric that is higher where the payload comes",
        )
    if not drawn:
        raise WatchError("expected at least one draw of random sites, got none", hint="draws=20")

    def gone(edits: Edits) -> float:
        return (before - measured(edits)) / (before - floor)

    return Ablation(
        before,
        floor,
        {site: gone(edits) for site, edits in alone.items()},
        gone(together),
        tuple(gone(edits) for edits in drawn),
    )


def _distinct(sites: Sequence[str | Site]) -> list[str]:
    return list(dict.fromkeys(map(str, sites)))
