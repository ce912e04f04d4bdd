"""Activation patching: which sites, put back to what they were, restore a behaviour?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from darklantern.errors import SiteError
from darklantern.methods.suffixes import Suffixes
from darklantern.models.edits import take, take_each
from darklantern.models.on_torch.opened import Model
from darklantern.models.on_torch.starting import Start
from darklantern.models.on_torch.structure import shares
from darklantern.models.recording import Recording
from darklantern.models.sites import Site

Metric = Callable[[Any], float]
"""a model's output → one number"""


@dataclass(frozen=True)
class Sweep:
    """The effect of patching each site at each position, as a share of the whole difference.

    1 means that this one patch restores the metric of the clean run, 0 that it does nothing.
    """

    sites: tuple[Site, ...]
    positions: tuple[int, ...]
    effects: tuple[tuple[float, ...], ...]
    """(site, position)"""
    clean: float
    corrupt: float

    def ranked(self) -> list[tuple[Site, float]]:
        """Sites with their position, strongest first."""
        cells = [
            (site.at(pos=pos), effect)
            for site, row in zip(self.sites, self.effects, strict=True)
            for pos, effect in zip(self.positions, row, strict=True)
        ]
        return sorted(cells, key=lambda cell: -cell[1])


def sweep(
    model: Model,
    clean: Any,
    corrupt: Any,
    sites: Sequence[str | Site],
    positions: Sequence[int],
    metric: Metric,
    at_once: int = 1,
) -> Sweep:
    """Patch each site at each position from the run on `clean` into the run on `corrupt` (both (n, pos)).

    Costs sites × positions runs, each from the site's own block on where the model can start there. With `at_once`,
    that many positions are one batch: faster, and the last bit may round differently. Inputs must be aligned:
    position i of one means position i of the other. Source: Vig et al. 2020; Meng et al. 2022, causal tracing.
    """
    wanted = tuple(site for name in sites for site in model.plan(name).sites)
    suffixes = Suffixes(model, corrupt, wanted)
    recording = model.record(clean, *dict.fromkeys([*(site.whole for site in wanted), *suffixes.besides]))
    high, low = metric(recording.output), metric(model.run(corrupt, {}))
    if high == low:
        raise SiteError(
            f"clean and corrupt inputs give the same metric, {high:g}, so there is no effect to restore",
            hint="choose inputs between which the behaviour differs",
        )
    effects = []
    for site in wanted:
        start, place = suffixes.start(site, recording)
        patched = [
            value
            for first in range(0, len(positions), at_once)
            for value in _patched(model, start, place, recording, positions[first : first + at_once], metric)
        ]
        effects.append(tuple((value - low) / (high - low) for value in patched))
    return Sweep(wanted, tuple(positions), tuple(effects), high, low)


def _patched(
    model: Model, start: Any, site: Site, recording: Recording, positions: Sequence[int], metric: Metric
) -> list[float]:
    """The metric with `site` patched at each of the positions, all in one run."""
    if len(positions) == 1 or not isinstance(start, Start):
        return [patch(model, start, recording, [site.at(pos=position)], metric) for position in positions]
    output = model.run(start.repeated(len(positions)), {site: take_each(recording, positions)})
    return [metric(share) for share in shares(output, len(positions))]


def patch(model: Model, inputs: Any, source: Recording, sites: Sequence[Site], metric: Metric) -> float:
    """The metric of a run on `inputs` in which `sites` hold what they held in `source`."""
    edits: Mapping[str | Site, Any] = {site: take(source) for site in sites}
    return metric(model.run(inputs, edits))
