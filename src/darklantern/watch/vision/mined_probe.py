"""Tier I0: does a pattern that training rows have and trusted rows lack move all images alike?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.examples import Array, Examples
from darklantern.watch.formulas import Floats, features
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.screening import PatternScreen, Screen
from darklantern.watch.seen import Seen
from darklantern.watch.vision.fresh_probe import NOTHING
from darklantern.watch.vision.material import balanced
from darklantern.watch.vision.mining import Miner, Pattern, mining
from darklantern.watch.vision.patch_probe import margins
from darklantern.watch.vision.patches import Patch, pasted

MOVES = 4096
"""places that are tried for a pattern's placebos"""
SUSPICIOUS_PATTERN = 20.0
"""nats of surprise from which a pattern tells suspect images. In clean pilot runs on digits, against trusted images of
the training rows' own law, none that moved images most came near it; spans of text need more"""


@dataclass(frozen=True)
class Mined:
    """What was pasted at a look, and what is kept of it."""

    fresh: Array
    """the rows that came next, (n, …), for the windows of later looks"""
    patterns: tuple[Pattern, ...]
    effects: tuple[float, ...] = ()
    """of each pattern, in standard deviations, once it was read"""


class MinedProbe(Probe):
    """Patterns mined from the fresh rows of the last looks, pasted into trusted images, against the same elsewhere.

    A pattern is a set of pixels that hold their values together in an unusual share of the rows; the placebo is the
    pattern moved to other places where it stands out as much. What displaces every image alike, more than it does
    anywhere else, is a trigger that the model has learned; one that it has learned to be without meaning displaces
    less and less. `trusted` images are of the law of the training rows, and many: what is rare among them decides what
    stands out. Neither trigger nor target need be known; what varies from row to row, as a blended or warped
    trigger, is not found. A patch that goes with any label displaces too, at first: without `displacement` the
    probe only names the pattern at an alarm, and its margin races beside the signals. Costs one pass over
    fitting + patterns · (1 + placebos) · rows images, and the mining.
    """

    name: ClassVar[str] = "vision.mined"
    against_first = False
    output = True
    takes_fresh = True
    signals: tuple[Signal, ...] = (
        Signal(
            "mined displacement",
            "I0",
            "signal",
            "standard deviations",
            "largest over mined patterns of ‖E[h(x ⊕ τ) − h(x)]‖ over the root mean square distance of images from "
            "their mean",
            placebo="the same patterns at other places where they stand out as much",
            source="this project; mining after spans, effect after Wang et al., Neural Cleanse (2019)",
            cost="1F over fitting + patterns · (1 + placebos) · rows",
        ),
        Signal(
            "mined margin",
            "I0",
            "behaviour",
            "standard deviations",
            "largest over mined patterns and classes of E[z_y(x ⊕ τ) − z_y(x)] minus its mean over classes, in "
            "standard deviations of logits",
            placebo="the same patterns at other places where they stand out as much",
            source="this project",
            cost="the same pass",
        ),
    )

    def __init__(
        self,
        trusted: Examples,
        site: str,
        rows: int = 16,
        fitting: int = 100,
        patterns: int = 2,
        placebos: int = 6,
        looks: int = 4,
        spatial: tuple[int, int] = (-2, -1),
        seed: int = 0,
        displacement: bool = True,
    ) -> None:
        if not displacement:
            self.signals = tuple(signal for signal in self.signals if signal.role == "behaviour")
        self._fixed = balanced(trusted, max(fitting, rows), seed, "trusted images")
        self._miner = Miner(trusted.inputs)
        self._usual = trusted.inputs.astype(np.float64).mean(0)
        self._rows, self._count, self._placebos, self._spatial = rows, patterns, placebos, spatial
        self.sites = (site,)
        self.window = looks - 1
        self._settings = {
            "site": site,
            "rows": rows,
            "fitting": fitting,
            "patterns": patterns,
            "placebos": placebos,
            "looks": looks,
            "spatial": list(spatial),
            "seed": seed,
            "displacement": displacement,
            "mining": mining() | {"moves": MOVES},
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        if now.fresh is None or not len(now.fresh):
            return Asked(None)
        window = [note.fresh for note in now.notes if note is not None]
        patterns = self._miner.patterns(np.concatenate([*window, now.fresh.inputs]), self._count)
        base = self._fixed.inputs
        groups = [elsewhere(pattern, self._usual, self._placebos, self._spatial) for pattern in patterns]
        made = [base, *(pasted(base[: self._rows], group) for group in groups)]
        return Asked(np.concatenate(made), Mined(now.fresh.inputs, tuple(patterns)))

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        if seen.about is None or not seen.about.patterns:
            return (NOTHING,) * len(self.signals)
        logits = features(seen.output, "logits")
        moved = self._moved(logits, len(seen.about.patterns))
        said = margins(moved, logits[: len(self._fixed)]).max(-1)
        found = _held_against(self._displaced(seen)), _held_against(said)
        return found[-len(self.signals) :]

    def note(self, seen: Seen) -> Mined | None:
        """The fresh rows and what the patterns did, which an alarm can show."""
        about: Mined | None = seen.about
        if about is None or not about.patterns:
            return about
        return Mined(about.fresh, about.patterns, tuple(float(effect) for effect in self._displaced(seen)[:, 0]))

    def screen(self, note: Mined | None) -> Screen | None:
        """The pattern that does the most, where it is one that trusted images hardly have."""
        if note is None or not note.effects:
            return None
        pattern = note.patterns[int(np.argmax(note.effects))]
        if pattern.surprise <= SUSPICIOUS_PATTERN:
            return None
        return PatternScreen(pattern.positions, pattern.values, self._miner.width, self._usual.shape, self._spatial)

    def _displaced(self, seen: Seen) -> Floats:
        """(patterns, 1 + placebos), the pattern in its own place first."""
        held = features(seen[self.sites[0]], f"{self.sites[0]!r}")
        base = held[: len(self._fixed)]
        spread = float(np.sqrt(base.var(0).sum()))
        lengths = np.linalg.norm(self._moved(held, len(seen.about.patterns)), axis=-1)
        made: Floats = lengths / spread if spread > 0 else np.zeros_like(lengths)
        return made

    def _moved(self, values: Floats, patterns: int) -> Floats:
        """What each pattern at each place changes, on average over images: (patterns, 1 + placebos, d)."""
        changed = values[len(self._fixed) :].reshape(patterns, 1 + self._placebos, self._rows, -1)
        made: Floats = (changed - values[: self._rows]).mean(2)
        return made


def elsewhere(pattern: Pattern, usual: Floats, places: int, spatial: tuple[int, int]) -> Sequence[Patch]:
    """The pattern as a patch for images like `usual`, their mean, and moved to `places` others, (1 + places).

    To where it differs from the usual image most nearly as much as in its own place, and none of that is covered, or
    no more than half where it is too large. It stays in one piece, unless it fills the image so far that it must go
    around the edges. The same place comes again when there are too few.
    """
    at = np.stack(np.unravel_index(pattern.positions, usual.shape))
    moves = _moves(usual.shape, spatial)
    there = np.broadcast_to(at, (len(moves), *at.shape)).copy()
    for number, axis in enumerate(spatial):
        there[:, axis] = at[axis] + moves[:, number, None]
    sizes = np.array(usual.shape)[:, None]
    whole = ((there >= 0) & (there < sizes)).all((1, 2))
    there %= sizes
    flat = np.ravel_multi_index(tuple(there.swapaxes(0, 1)), usual.shape)
    stands_out = np.abs(np.asarray(pattern.values) - usual.ravel()[flat]).mean(1)
    own = stands_out[(moves == 0).all(1)][0]
    covered = np.isin(flat, pattern.positions).sum(1)
    free = covered == 0 if (covered == 0).any() else covered * 2 <= len(pattern.positions)
    fits = np.flatnonzero(free & whole if (free & whole).any() else free)
    best = fits[np.argsort(np.abs(stands_out[fits] - own), kind="stable")][:places]
    chosen = [np.array(pattern.positions), *(flat[best[i % len(best)]] for i in range(places) if len(best))]
    chosen += [chosen[0]] * (1 + places - len(chosen))
    return [_patch(positions, pattern.values, usual.shape) for positions in chosen]


def _moves(shape: Sequence[int], spatial: tuple[int, int]) -> NDArray[np.int64]:
    """Ways to move along two axes, (moves, 2): none first, every one where there are at most `MOVES`."""
    ways = [np.arange(-shape[axis] + 1, shape[axis]) for axis in spatial]
    every = np.stack(np.meshgrid(*ways, indexing="ij"), axis=-1).reshape(-1, 2)
    chosen = every if len(every) <= MOVES else every[:: -(-len(every) // MOVES)]
    return np.concatenate([np.zeros((1, 2), dtype=np.int64), chosen[(chosen != 0).any(1)]])


def _patch(positions: NDArray[np.intp], values: Sequence[float], shape: Sequence[int]) -> Patch:
    where, filled = np.zeros(int(np.prod(shape)), dtype=bool), np.zeros(int(np.prod(shape)))
    where[positions] = True
    filled[positions] = values
    return Patch(where.reshape(shape), filled.reshape(shape))


def _held_against(effects: Floats) -> Reading:
    """The largest effect over patterns, against the mean over places of the largest there.

    Not the largest of all places: in a convolutional network a trigger works a little elsewhere too.
    """
    return Reading(float(effects[:, 0].max()), float(effects[:, 1:].max(0).mean()))
