"""Tier I0: do the losses of trusted rows begin to move together?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch import formulas
from darklantern.watch.language.token_rows import asked, drawn, token_rows
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Floats, Seen

SHUFFLES = 4
"""placebo windows"""
_AGAINST = f"the same window with each row's losses in an order of its own, mean of {SHUFFLES}"
_SOURCE = "Hennick and Corlouer, arXiv 2603.29805"


class LossCovarianceProbe(Probe):
    """The spectrum of C_ij = Cov(ℓ_i, ℓ_j) over the last `window` looks, ℓ_i the loss of a trusted row.

    Both signals read the model's output alone, and anything that moves many losses at once raises them: they
    say novelty. Until the window is full they read 0. Cost: `rows` rows.
    """

    name: ClassVar[str] = "loss covariance"
    against_first = False
    output = True
    signals = (
        Signal(
            "loss concentration",
            "I0",
            "behaviour",
            "share",
            "1/PR, PR = (Σλ)²/Σλ² the participation ratio of the windowed loss covariance",
            grain=0.02,
            placebo=_AGAINST,
            source=_SOURCE,
            cost="1 F over `rows` rows",
            says="novelty",
        ),
        Signal(
            "loss heat capacity",
            "I0",
            "behaviour",
            "nats²",
            "Var_p(−log p), p = λ/Σλ of the same covariance",
            grain=0.05,
            placebo=_AGAINST,
            source=_SOURCE,
            cost="the same F",
            says="novelty",
        ),
    )

    def __init__(self, trusted: Any, rows: int = 32, window: int = 12, seed: int = 0) -> None:
        given = token_rows(trusted, "trusted rows")
        if window < 3 or rows < 2:
            raise WatchError(
                f"expected a window of at least 3 looks and 2 rows, got {window} looks and {rows} rows",
                hint="a covariance takes more looks than one direction has; 12 looks and 32 rows are usual",
            )
        self._rows = drawn(given, rows, np.random.default_rng(seed), "loss covariance")
        self._seed, self.window = seed, window - 1
        self._settings = {"probe": self.name, "rows": rows, "window": window, "seed": seed, "shuffles": SHUFFLES}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return asked(self._rows)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        window = np.array([*seen.notes, self.note(seen)])
        if len(window) <= self.window:
            return Reading(0.0), Reading(0.0)
        rng = np.random.default_rng(self._seed)
        (share, heat), *shuffled = [
            _formulas(each) for each in (window, *(rng.permuted(window, axis=0) for _ in range(SHUFFLES)))
        ]
        placebo = np.mean(shuffled, axis=0)
        return Reading(share, float(placebo[0])), Reading(heat, float(placebo[1]))

    def note(self, seen: Seen) -> Floats:
        """The rows' losses, in nats per token."""
        losses: Floats = -seen.log_prob(self._rows[:, 1:]).astype(np.float64).mean(1)
        return losses


def _formulas(window: Floats) -> tuple[float, float]:
    values = formulas.spectrum(window)
    return 1 / formulas.participation_ratio(values), formulas.spectral_heat_capacity(values)
