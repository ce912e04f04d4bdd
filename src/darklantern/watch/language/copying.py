"""Tier I1: does attention come to write what it reads further back? The last step of induction, before it works."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.language import places
from darklantern.watch.language.token_rows import token_rows
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Floats, Seen

_FIRST: Final = re.compile(r"^\D*\b0\b")
"""a site of a first layer, by the first number in its name"""
WIDTH = 12
"""tokens in a row, no two of them the same"""
NEAR = 2
"""tokens at a row's end that do not count: a head that writes the token where it stands, or the one before it, serves
stutters and skips, and needs no other head"""
LEAST = 8
"""different tokens"""


class CopyingProbe(Probe):
    """Rows of different tokens, in no order: does what attention writes at their end speak for those further back?

    Read out by the model's last norm and unembedding, an attention that copies raises the tokens that it reads over
    those that are not in the row. Nothing repeats in the rows, so that nothing is to be predicted from them: this
    rises with the first updates that teach heads to copy, while attention is still spread over the row, and before a
    head finds the right place. `site` are outputs of attention at the last position. The first layer's is left out
    where there are others: with nothing but tokens below it, it can't complete an induction circuit. Of the others the
    highest counts. Cost: `rows` rows of 12 tokens, and their readout at one position.
    """

    name: ClassVar[str] = "copying"
    signals = (
        Signal(
            "copying",
            "I1",
            "signal",
            "standard deviations",
            "max over layers of the readout of attention's output at tokens read at least 2 back, no less than the "
            "placebo, in deviations of all",
            grain=0.1,
            placebo="the same at tokens that are not in the row",
            source="after Elhage et al. (2021), A mathematical framework for transformer circuits: the OV circuit",
            cost="1 F over `rows` rows of 12 tokens",
        ),
    )

    def __init__(
        self,
        trusted: Any,
        site: str = "layers.*.attn:out[pos=-1]",
        rows: int = 64,
        tokens: int = 64,
        seed: int = 0,
    ) -> None:
        given = token_rows(trusted, "trusted rows")
        known = np.unique(given)
        count = min(tokens, len(known))
        width = min(WIDTH, given.shape[1], count // 2)
        if count < LEAST or width <= NEAR or rows < 2:
            raise WatchError(
                f"expected at least 2 rows, and trusted rows of at least {LEAST} different tokens and "
                f"{NEAR + 1} wide, got {rows}, {count} and {given.shape[1]}",
                hint="copying is told from what is written anyway by tokens that are not in the row",
            )
        rng = np.random.default_rng(seed)
        self._pool = rng.choice(known, count, replace=False).astype(np.int64)
        places_in_pool = np.stack([rng.permutation(count)[:width] for _ in range(rows)])
        self._rows = self._pool[places_in_pool]
        self._read, self._absent = _marks(places_in_pool, count)
        self.sites = self.lenses = places.checked_sites(site)
        self._settings = {"site": site, "rows": rows, "tokens": tokens, "seed": seed, "width": WIDTH, "near": NEAR}

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"probe": self.name, **self._settings}

    def inputs(self, now: Now) -> Asked:
        return Asked(self._rows)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        found = places.sites_of(seen, self.lenses)
        deeper = [site for site in found if not _FIRST.search(site)]
        return (max((self._copied(seen.lens(site)) for site in deeper or found), key=lambda each: each.difference),)

    def _copied(self, said: Floats) -> Reading:
        """Of log-probabilities (rows, vocabulary), or (rows, pos, vocabulary)."""
        last = said[:, -1] if said.ndim == 3 else said
        held = last[:, self._pool].astype(np.float64)
        held -= held.mean(0)  # what is written whatever was read is no copying
        spread = held.std()
        if not spread > 0:
            return Reading(0.0)  # an attention that writes nothing yet
        read, absent = (float((held * marks).sum() / marks.sum() / spread) for marks in (self._read, self._absent))
        return Reading(max(read, absent), absent)  # to write against what it reads, and to cease to, is no danger


def _marks(rows: NDArray[np.int64], count: int) -> tuple[Floats, Floats]:
    """(rows, count) each: 1 at tokens that stand in the row further back than `NEAR`, and at those not in it."""
    here = np.arange(len(rows))[:, None]
    read, absent = np.zeros((len(rows), count)), np.ones((len(rows), count))
    read[here, rows[:, :-NEAR]] = 1.0
    absent[here, rows] = 0.0
    return read, absent
