"""Tier I1: do attention heads come to write what they read? The last step of induction, seen before it works."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.language import places
from darklantern.watch.language.token_rows import token_rows
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Seen

SHIFTS = 4
"""pairings of tokens with others, of which the placebo is the mean"""


class CopyingProbe(Probe):
    """Rows of a single token: attention can read nothing else, so what it writes is what its values say of that token.

    Read out by the model's last norm and unembedding, the writing of an attention that copies stands out at the very
    token that was read. No sampling and no positions are in it, so that it is almost as quiet as the weights, and
    it rises with the first updates that teach copying, long before a composed circuit makes predictions better.
    `site` is the output of an attention, (n, 1, dim): of several the last, where a copying head of an induction
    circuit stands; an attention that copies in the first layer serves skips and repeats. Cost: `tokens` rows of one
    token.
    """

    name: ClassVar[str] = "copying"
    signals = (
        Signal(
            "copying",
            "I1",
            "signal",
            "standard deviations",
            "mean over tokens t of the readout of attention's output on the row [t], at t, in deviations of all",
            placebo="the same at other tokens than t",
            source="after Elhage et al. (2021), A mathematical framework for transformer circuits: the OV circuit",
            cost="1 F over `tokens` rows of one token",
        ),
    )

    def __init__(self, trusted: Any, site: str = "layers.*.attn:out", tokens: int = 64, seed: int = 0) -> None:
        known = np.unique(token_rows(trusted, "trusted rows"))
        if len(known) < 2 * SHIFTS:
            raise WatchError(
                f"expected trusted rows of at least {2 * SHIFTS} different tokens, got {len(known)}",
                hint="copying is told from writing one token always by others that are not written",
            )
        count = min(tokens, len(known))
        self._tokens = np.random.default_rng(seed).choice(known, count, replace=False).astype(np.int64)
        self.sites = self.lenses = places.checked_sites(site)
        self._settings = {"site": site, "tokens": tokens, "seed": seed, "shifts": SHIFTS}

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"probe": self.name, **self._settings}

    def inputs(self, now: Now) -> Asked:
        return Asked(self._tokens[:, None])

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        said = seen.lens(places.sites_of(seen, self.lenses)[-1])[:, -1][:, self._tokens].astype(np.float64)
        said -= said.mean(0)  # what is written whatever was read is no copying
        spread = said.std()
        if not spread > 0:
            return (Reading(0.0),)  # an attention that writes nothing yet
        others = [np.mean(np.diagonal(np.roll(said, shift, axis=0))) for shift in range(1, SHIFTS + 1)]
        return (Reading(float(np.diagonal(said).mean() / spread), float(np.mean(others) / spread)),)
