"""Tier I1: do the model's activations drift along the direction of a trait?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch import formulas
from darklantern.watch.language import places
from darklantern.watch.language.token_rows import Prompt, Prompts, prompts
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Floats, Seen

RANDOM = 16
"""random directions of the placebo"""
GRAIN = 0.02
"""share of the norm. What harmless finetunes differ by is less; where few references make it look like a lot, a
threshold comes to lie where every long enough rise ends, and a trait that forms is seen late (measured)"""
_AGAINST = f"mean |the same| along {RANDOM} random directions that vary as the prompts' activations do"
_SOURCE = "Chen et al., arXiv 2507.21509; monitored through training in arXiv 2606.07631"
_FROZEN = Signal(
    "trait drift",
    "I1",
    "signal",
    "share of the activations' norm at attach",
    "E_p[(h(p; θ_t) − h(p; θ_0))·v̂_0]",
    grain=GRAIN,
    placebo=_AGAINST,
    source=_SOURCE,
    cost="1 F over the prompts, up to the site",
)
_REFITTED = Signal(
    "refitted trait drift",
    "I1",
    "signal",
    "share of the activations' norm at attach",
    "E_p[(h(p; θ_t) − h(p; θ_0))·v̂_t], v̂_t the difference of means of today's model",
    grain=GRAIN,
    placebo=_AGAINST,
    source=_SOURCE,
    cost="the same F",
)


@dataclass(frozen=True)
class Attached:
    """What the first look held: the mean activation, its size, and the directions."""

    mean: Floats
    norm: float
    direction: Floats
    random: Floats
    """(RANDOM, d)"""


class TraitProbe(Probe):
    """How far the mean activation at the last token of neutral prompts moved along v̂ since the first look.

    `direction` is an array (d,), or two lists of prompts, with the trait and without it: their difference of means at
    the first look, and, as a second signal, that of each look. `site` is a residual stream. What training moves in
    all directions alike is in the placebo.
    """

    name: ClassVar[str] = "trait"

    def __init__(
        self,
        neutral: Sequence[Prompt],
        direction: NDArray[np.floating] | tuple[Sequence[Prompt], Sequence[Prompt]],
        site: str,
        seed: int = 0,
    ) -> None:
        self._neutral = prompts(neutral, "neutral prompts", 2)
        self._given: Floats | None = None
        self._pair: tuple[Prompts, Prompts] | None = None
        self._all, said = self._neutral, {}
        if isinstance(direction, tuple):
            high, low = (
                prompts(each, f"prompts {which} the trait")
                for each, which in zip(direction, ("with", "without"), strict=True)
            )
            self._pair, self._all = (high, low), self._neutral + high + low
            said = {"with": high.settings, "without": low.settings}
        else:
            self._given = _unit(formulas.features(direction, "a direction", least=1).ravel())
            said = {"direction": self._given.tolist()}
        self.signals = (_FROZEN,) if self._pair is None else (_FROZEN, _REFITTED)
        self._seed = seed
        self.sites = places.checked_sites(site)
        self._settings = {
            "probe": self.name,
            "neutral": self._neutral.settings,
            "direction": said,
            "site": site,
            "seed": seed,
            "random": RANDOM,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(self._all.inputs)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        values, first = self._values(seen), seen.first
        moved = (values[: len(self._neutral)].mean(0) - first.mean) / first.norm
        placebo = float(np.abs(first.random @ moved).mean())
        found = [first.direction] if self._pair is None else [first.direction, self._direction(values)]
        return tuple(Reading(float(way @ moved), placebo) for way in found)

    def note(self, seen: Seen) -> Attached | None:
        """What the first look held."""
        return self._attached(self._values(seen)) if seen.first is None else None

    def _values(self, seen: Seen) -> Floats:
        site = places.site_of(seen, self.sites[0])
        return places.at_ends(seen, site, self._all.ends).astype(np.float64)

    def _attached(self, values: Floats) -> Attached:
        rows = formulas.features(values[: len(self._neutral)], f"activations at {self.sites[0]}")
        centred = rows - rows.mean(0)
        mixed = np.random.default_rng(self._seed).normal(size=(RANDOM, len(rows))) @ centred
        return Attached(
            rows.mean(0),
            float(np.linalg.norm(rows, axis=-1).mean()),
            self._direction(values),
            np.stack([_unit(each) for each in mixed]),
        )

    def _direction(self, values: Floats) -> Floats:
        if self._pair is not None:
            parts = values[len(self._neutral) :]
            count = len(self._pair[0])
            return _unit(formulas.mean_difference(parts[:count], parts[count:]))
        assert self._given is not None
        if len(self._given) != values.shape[1]:
            raise WatchError(
                f"expected a direction of {values.shape[1]} numbers for {self.sites[0]}, got {len(self._given)}",
                hint="take the direction from the site that is watched",
            )
        return self._given


def _unit(direction: Floats) -> Floats:
    length = float(np.linalg.norm(direction))
    if not length > 0:
        raise WatchError(
            "expected a direction, got a vector of zeros",
            hint="prompts with and without the trait must differ at the site, and neutral prompts among each other",
        )
    return direction / length
