"""Tier I0: do rows about to be trained on lie far from trusted rows inside the model?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch import formulas
from darklantern.watch.examples import Examples
from darklantern.watch.judging import betting
from darklantern.watch.language import places
from darklantern.watch.language.token_rows import drawn, token_rows
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Seen

Floats = NDArray[np.float64]

_SIGNAL = "row anomaly"


class RowAnomalyProbe(Probe):
    """Squared Mahalanobis distance of fresh training rows to trusted features, against equally many fresh trusted rows.

    Features are means over a row's positions at `site`, a residual stream. Mean and covariance come from a third draw,
    `fitting` trusted rows that never stand on either side: a scale from the trusted half would lean. The bet on its
    scores holds without reference runs. New harmless data raises it as poison does. Up to `rows` of the batch
    are scored, before the update. Cost: fitting + 2 × rows rows, up to the site.
    """

    name: ClassVar[str] = "row anomaly"
    takes_fresh = True
    signals = (
        Signal(
            _SIGNAL,
            "I0",
            "signal",
            "share",
            "(2 × training rows among the k farthest − k)/k, k a quarter of the rows scored",
            placebo="fresh trusted rows, which are the other rows among the farthest",
            source="Lee et al., arXiv 1807.03888; bet of Shin, Ramdas and Rinaldo, arXiv 2203.03532",
            cost="1 F over fitting + 2 × rows rows, up to the site",
            detector="betting",
            says="novelty",
        ),
    )

    def __init__(self, trusted: Any, site: str, rows: int = 32, fitting: int = 64, seed: int = 0) -> None:
        given = token_rows(trusted, "trusted rows")
        if rows < 1:
            raise WatchError(f"expected at least 1 row to score at a look, got {rows}", hint="32 are usual")
        if len(given) < fitting + rows or fitting < 2:
            raise WatchError(
                f"expected at least 2 rows to fit on and {fitting} + {rows} trusted rows, got {len(given)}",
                hint="each look draws fresh trusted rows; give many more, or a smaller fitting=",
            )
        self._fitting = drawn(given, fitting, np.random.default_rng(seed), "row anomaly")
        self._fitted = {row.tobytes() for row in self._fitting}
        self._rows = rows
        self.sites = places.checked_sites(site)
        self._settings = {"probe": self.name, "site": site, "rows": rows, "fitting": fitting, "seed": seed}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        if now.fresh is None:
            return Asked(None)
        # What is in the fitting set lies near on either side: leaving it out on both keeps them alike.
        fresh = self._strangers(now.fresh).take(slice(self._rows))
        trusted = self._strangers(now.trusted.draw(len(fresh)))
        while len(trusted) < len(fresh) and now.trusted.left:
            trusted = _joined(trusted, self._strangers(now.trusted.draw(len(fresh) - len(trusted))))
        both = _joined(_joined(Examples(self._fitting), fresh), trusted)
        own = None if both.mask is None else both.mask[:, :-1]
        return Asked(both.inputs[:, :-1], (len(fresh), own))

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        training, trusted = self._scored(seen)
        if not len(training) or len(training) != len(trusted):
            return (Reading(0.0),)
        return (Reading(betting.lean(training, trusted, max(1, len(training) // 4))),)

    def scores(self, seen: Seen) -> dict[str, tuple[Floats, Floats]]:
        """Squared distances of training rows and of trusted rows."""
        return {_SIGNAL: self._scored(seen)}

    def _scored(self, seen: Seen) -> tuple[Floats, Floats]:
        if seen.about is None:
            return np.empty(0), np.empty(0)
        count, own = seen.about
        site = places.site_of(seen, self.sites[0])
        values = places.means_over_positions(seen, site, own)
        fitting, rest = values[: len(self._fitting)], values[len(self._fitting) :]
        if not len(rest):
            return np.empty(0), np.empty(0)
        distances = formulas.cloud(fitting).distances(rest).astype(np.float64)
        return distances[:count], distances[count:]

    def _strangers(self, rows: Examples) -> Examples:
        if not rows.are_tokens or rows.inputs.shape[1] != self._fitting.shape[1]:
            raise WatchError(
                f"expected token rows as wide as the trusted rows, {self._fitting.shape[1]}, got {rows.inputs.shape}",
                hint="pad or cut trusted rows to the loader's width",
            )
        strange = [row.tobytes() not in self._fitted for row in rows.inputs.astype(np.int64)]
        return rows.take(np.array(strange, dtype=bool))


def _joined(one: Examples, other: Examples) -> Examples:
    masks = [np.ones(each.inputs.shape, dtype=bool) if each.mask is None else each.mask for each in (one, other)]
    inputs = np.concatenate([one.inputs.astype(np.int64), other.inputs.astype(np.int64)])
    return Examples(inputs, None, None if one.mask is None and other.mask is None else np.concatenate(masks))
