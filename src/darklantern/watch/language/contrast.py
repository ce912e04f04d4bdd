"""Tier I1: does a direction inside the model tell two groups of prompts apart, and is it still the same one?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from darklantern.watch import formulas
from darklantern.watch.language import places
from darklantern.watch.language.groups import Groups, groups
from darklantern.watch.language.token_rows import Prompt
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Floats, Seen

SHUFFLES = 4
"""times that labels are dealt anew for the placebo"""
_AGAINST = f"the same prompts with shuffled labels, mean of {SHUFFLES}"
_SOURCE = "Goldowsky-Dill et al., arXiv 2502.03407; refit because frozen probes rot, arXiv 2602.15515"


@dataclass(frozen=True)
class Fitted:
    """The directions of one look: w = Σ⁻¹(μ₊ − μ₋), and those of shuffled labels."""

    direction: Floats
    shuffled: tuple[Floats, ...]


class ContrastProbe(Probe):
    """A linear probe between two groups of prompts, refitted at each look on half of them and judged on the other half.

    Beside it stands the frozen probe of the first look, on today's activations: where training turns the
    representation without any danger, only that one falls. `positive` and `negative` are prompts of token ids, at
    least four each; `site` a residual stream, read at each prompt's last token.
    """

    name: ClassVar[str] = "contrast"
    signals = (
        Signal(
            "contrast probe",
            "I1",
            "signal",
            "AUROC",
            "held-out AUROC of w_t = Σ⁻¹(μ₊ − μ₋), refitted at each look",
            grain=0.02,
            placebo=_AGAINST,
            source=_SOURCE,
            cost="1 F over the prompts, up to the site",
        ),
        Signal(
            "frozen contrast probe",
            "I1",
            "signal",
            "AUROC",
            "held-out AUROC of w_0, fitted at the first look, on today's activations",
            grain=0.02,
            placebo=_AGAINST,
            source=_SOURCE,
            cost="the same F",
        ),
        Signal(
            "contrast turn",
            "I1",
            "signal",
            "cosine distance",
            "1 − cos(w_t, w_0)",
            grain=0.02,
            placebo=_AGAINST,
            source=_SOURCE,
            cost="the same F",
            says="novelty",
        ),
    )

    def __init__(self, positive: Sequence[Prompt], negative: Sequence[Prompt], site: str, seed: int = 0) -> None:
        self._groups = groups(positive, negative, ("positive", "negative"), seed)
        self._shuffled = self._groups.shuffled(SHUFFLES, seed)
        self._site = site
        self.sites = places.checked_sites(site)
        self._settings = {
            "probe": self.name,
            **self._groups.settings,
            "site": site,
            "seed": seed,
            "shuffles": SHUFFLES,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(self._groups.prompts.inputs)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        values = self._values(seen)
        now, first = self._fit(values), seen.first
        return (
            self._judged(values, now),
            self._judged(values, first),
            Reading(
                1 - formulas.cosine(now.direction, first.direction),
                float(np.mean([1 - formulas.cosine(*pair) for pair in zip(now.shuffled, first.shuffled, strict=True)])),
            ),
        )

    def note(self, seen: Seen) -> Fitted | None:
        """The directions of the first look."""
        return self._fit(self._values(seen)) if seen.first is None else None

    def _values(self, seen: Seen) -> Floats:
        site = places.site_of(seen, self.sites[0])
        return places.at_ends(seen, site, self._groups.prompts.ends)

    def _fit(self, values: Floats) -> Fitted:
        made = [formulas.discriminant(*each.fitting(values)) for each in (self._groups, *self._shuffled)]
        return Fitted(made[0], tuple(made[1:]))

    def _judged(self, values: Floats, fitted: Fitted) -> Reading:
        pairs = zip(self._shuffled, fitted.shuffled, strict=True)
        return Reading(
            _auroc(self._groups, values, fitted.direction),
            float(np.mean([_auroc(each, values, direction) for each, direction in pairs])),
        )


def _auroc(judged: Groups, values: Floats, direction: Floats) -> float:
    positive, negative = judged.judging(values @ direction)
    return formulas.auroc(positive, negative)
