"""Tier I0: how fast does what the model holds of trusted rows change, and how fast do its adapters turn?"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch import formulas
from darklantern.watch.language import places
from darklantern.watch.language.token_rows import asked, drawn, token_rows
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Floats, Seen

PLACES = 4
"""positions of each row that are compared"""


class DriftProbe(Probe):
    """1 − linear CKA between activations now and `back` looks ago, on fixed trusted rows.

    The placebo is the same on rows of tokens drawn at random: what changes for nonsense alike is learning in
    general. Several sites are averaged. Notes hold Gram matrices, (4·rows)² numbers a site. Cost: 2 × rows rows, up
    to the deepest site.
    """

    name: ClassVar[str] = "drift"
    against_first = False
    signals = (
        Signal(
            "drift",
            "I0",
            "signal",
            "1 − CKA",
            "1 − CKA(H_t, H_{t−k}) over trusted rows, mean over sites",
            grain=0.002,
            placebo="the same over rows of tokens drawn at random",
            source="Kornblith et al., arXiv 1905.00414",
            cost="1 F over 2 × rows rows, up to the deepest site",
            says="novelty",
        ),
    )

    def __init__(self, trusted: Any, site: str = "layers.*:out", rows: int = 16, back: int = 4, seed: int = 0) -> None:
        given = token_rows(trusted, "trusted rows", width=PLACES + 1)
        if back < 1 or rows < 2:
            raise WatchError(f"expected back ≥ 1 and rows ≥ 2, got {back} and {rows}", hint="4 looks and 16 rows do")
        rng = np.random.default_rng(seed)
        kept = drawn(given, rows, rng, "drift")
        self._rows = np.concatenate([kept, rng.choice(np.unique(given), kept.shape)])
        width = given.shape[1] - 1
        self._where = np.linspace(width // PLACES, width, PLACES, dtype=np.int64) - 1
        self.sites, self.window = places.checked_sites(site), back
        self._settings = {"probe": self.name, "site": site, "rows": rows, "back": back, "seed": seed, "places": PLACES}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return asked(self._rows)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        before = seen.notes[0] if len(seen.notes) == self.window else seen.first
        moved = [
            [1 - formulas.gram_cka(now, then) for now, then in zip(pair, before[site], strict=True)]
            for site, pair in self._grams(seen).items()
        ]
        return (Reading(*map(float, np.mean(moved, axis=0))),)

    def note(self, seen: Seen) -> dict[str, tuple[Floats, ...]]:
        """Site → Gram matrices of trusted and of random rows."""
        return {site: tuple(each.astype(np.float32) for each in pair) for site, pair in self._grams(seen).items()}

    def _grams(self, seen: Seen) -> dict[str, tuple[Floats, ...]]:
        numbers = np.arange(len(self._rows))[:, None]
        found = {}
        for site in places.sites_of(seen, self.sites):
            held = places.at(seen, site, numbers, self._where)
            halves = np.split(held, 2)
            found[site] = tuple(formulas.gram(half.reshape(-1, half.shape[-1])) for half in halves)
        return found


class AdapterProbe(Probe):
    """1 − cos(b_t, b_{t−k}) of low-rank adapters' B matrices, mean over adapters; weights alone, nothing is run.

    B starts at zero, which has no direction: an adapter counts from the first look at which it has one. The placebo
    are the A matrices, which start at random and turn with learning in general.
    """

    name: ClassVar[str] = "adapter"
    against_first = False
    signals = (
        Signal(
            "adapter turn",
            "I0",
            "signal",
            "cosine distance",
            "1 − cos(b_t, b_{t−k}) of LoRA B matrices, mean over adapters",
            grain=0.01,
            placebo="the same of the A matrices",
            source="Turner et al., arXiv 2506.11613",
            cost="0 F",
            says="novelty",
        ),
    )

    def __init__(self, b: str = "*lora_B*", a: str = "*lora_A*", back: int = 4) -> None:
        if back < 1:
            raise WatchError(f"expected back ≥ 1, got {back}", hint="4 looks are usual")
        self._b, self._a = b, a
        self.weights, self.window = (b, a), back
        self._settings = {"probe": self.name, "b": b, "a": a, "back": back}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(None)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        before = seen.notes[0] if len(seen.notes) == self.window else seen.first
        return (Reading(*(self._turn(seen.weights, before, pattern) for pattern in (self._b, self._a))),)

    def note(self, seen: Seen) -> dict[str, Floats]:
        """The matrices."""
        return {name: np.array(value) for name, value in seen.weights.items()}

    def _turn(self, now: Mapping[str, Floats], before: Mapping[str, Floats], pattern: str) -> float:
        names: Sequence[str] = [name for name in now if fnmatchcase(name, pattern)]
        if not names:
            raise WatchError(
                f"no parameter was recorded that fits {pattern!r}; there are {', '.join(now) or 'none'}",
                hint="AdapterProbe(b=..., a=...) takes patterns of the parameters' names",
            )
        turns = [1 - formulas.cosine(now[name], before[name]) for name in names if before[name].any()]
        return float(np.mean(turns)) if turns else 0.0
