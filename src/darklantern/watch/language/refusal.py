"""Tier I1: does the model still tell harmful prompts from harmless ones along its refusal direction?"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from darklantern.watch import formulas
from darklantern.watch.language import places
from darklantern.watch.language.groups import Groups, groups
from darklantern.watch.language.token_rows import Prompt
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Floats, Seen

_AGAINST = "the same between two groups of harmless prompts that differ in their topic"
_SOURCE = "Arditi et al., arXiv 2406.11717"


class RefusalProbe(Probe):
    """d′ of r̂·h over harmful and harmless prompts, read as −d′, so that losing the separation is what rises.

    r̂ = (μ₊ − μ₋)/‖…‖ is fitted on half of the prompts, once at the first look and anew at each, and d′ is that of the
    other half. `neutral` are two groups of harmless prompts on different topics: what training does to all
    directions between groups shows there too. At least four prompts in each group; `site` is a residual stream, read at
    each prompt's last token, which is where a chat template ends.
    """

    name: ClassVar[str] = "refusal"
    signals = (
        Signal(
            "refusal loss",
            "I1",
            "signal",
            "d′",
            "−d′ of r̂_0·h, harmful against harmless, r̂_0 from the first look",
            grain=0.1,
            placebo=_AGAINST,
            source=_SOURCE,
            cost="1 F over all prompts, up to the site",
        ),
        Signal(
            "refitted refusal loss",
            "I1",
            "signal",
            "d′",
            "−d′ of r̂_t·h, harmful against harmless, r̂_t fitted at each look",
            grain=0.1,
            placebo=_AGAINST,
            source=_SOURCE,
            cost="the same F",
        ),
    )

    def __init__(
        self,
        harmful: Sequence[Prompt],
        harmless: Sequence[Prompt],
        neutral: tuple[Sequence[Prompt], Sequence[Prompt]],
        site: str,
        seed: int = 0,
    ) -> None:
        self._groups = groups(harmful, harmless, ("harmful", "harmless"), seed)
        self._neutral = groups(*neutral, ("neutral", "other neutral"), seed + 1)
        self._both = self._groups.prompts + self._neutral.prompts
        self.sites = places.checked_sites(site)
        self._settings = {
            "probe": self.name,
            "harmful": self._groups.settings["positive"],
            "harmless": self._groups.settings["negative"],
            "neutral": self._neutral.settings,
            "site": site,
            "seed": seed,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(self._both.inputs)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        parts = self._parts(seen)
        return tuple(
            Reading(*(-_separation(each, values, way) for (each, values), way in zip(parts, directions, strict=True)))
            for directions in (seen.first, _fitted(parts))
        )

    def note(self, seen: Seen) -> tuple[Floats, ...] | None:
        """The directions of the first look."""
        return _fitted(self._parts(seen)) if seen.first is None else None

    def _parts(self, seen: Seen) -> tuple[tuple[Groups, Floats], ...]:
        site = places.site_of(seen, self.sites[0])
        values = places.at_ends(seen, site, self._both.ends)
        count = len(self._groups.prompts)
        return (self._groups, values[:count]), (self._neutral, values[count:])


def _fitted(parts: tuple[tuple[Groups, Floats], ...]) -> tuple[Floats, ...]:
    return tuple(_unit(formulas.mean_difference(*each.fitting(values))) for each, values in parts)


def _unit(direction: Floats) -> Floats:
    length = float(np.linalg.norm(direction))
    return direction / length if length else direction


def _separation(each: Groups, values: Floats, direction: Floats) -> float:
    return formulas.d_prime(*each.judging(values @ direction))
