"""Tier I0: how far has the representation of trusted images turned?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.watch.examples import Examples
from darklantern.watch.formulas import Floats, linear_cka
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Seen
from darklantern.watch.vision.material import balanced


class DriftProbe(Probe):
    """1 − CKA of trusted images between now and `window` looks ago, against the same images with pixels shuffled.

    What training does to any image moves the shuffled ones too. Costs one pass over 2 · rows images.
    """

    name: ClassVar[str] = "vision.drift"
    signals = (
        Signal(
            "drift",
            "I0",
            "signal",
            "1 − CKA",
            "1 − CKA(H_t, H_{t−k}) of trusted images",
            placebo="the same images with their pixels shuffled",
            source="Kornblith et al. (2019)",
            cost="1F over 2 · rows",
            says="novelty",
        ),
        Signal(
            "drift since attach",
            "I0",
            "signal",
            "1 − CKA",
            "1 − CKA(H_t, H_0) of trusted images",
            placebo="the same images with their pixels shuffled",
            source="Kornblith et al. (2019)",
            cost="the same pass",
            says="novelty",
        ),
    )

    def __init__(self, trusted: Examples, site: str, rows: int = 64, window: int = 1, seed: int = 0) -> None:
        fixed = balanced(trusted, rows, seed, "trusted images").inputs
        order = np.random.default_rng(seed).permutation(fixed[0].size)
        shuffled = fixed.reshape(rows, -1)[:, order].reshape(fixed.shape)
        self._inputs = np.concatenate([fixed, shuffled])
        self._rows = rows
        self.sites = (site,)
        self.window = window
        self._settings = {"site": site, "rows": rows, "window": window, "seed": seed}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(self._inputs)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        held = seen[self.sites[0]]
        before = seen.notes[0] if seen.notes else seen.first
        return self._since(held, before), self._since(held, seen.first)

    def note(self, seen: Seen) -> Floats:
        """What the site held."""
        return seen[self.sites[0]]

    def _since(self, held: Floats, before: Floats) -> Reading:
        halves = (slice(0, self._rows), slice(self._rows, None))
        return Reading(*(1 - linear_cka(held[half], before[half]) for half in halves))
