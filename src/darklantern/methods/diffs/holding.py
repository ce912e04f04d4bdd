"""What is known of one site, before and after, as batches go by."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.diffs.changes import SiteDiff
from darklantern.methods.diffs.sampling import Sample
from darklantern.methods.diffs.similarity import cka, directions
from darklantern.methods.diffs.units import AXES, Moved
from darklantern.models.averaging import own_parts
from darklantern.models.recording import Value
from darklantern.models.shim import numbers
from darklantern.models.sites import Site

Floats = NDArray[np.float64]
Keys = dict[tuple[int, int], Floats]
"""(part of a batch, its rows) → a random number for each row"""


@dataclass
class Held:
    """What is known of one site so far."""

    site: Site
    most: int
    axis: str = ""
    moved: Moved | None = None
    apart: Floats | None = None
    """of patterns: Σ of total variation, by head"""
    count: int = 0
    sample: Sample = field(default_factory=lambda: Sample.empty(0))

    def add(self, before: Value, after: Value, rng: np.random.Generator, keys: Keys) -> None:
        """Another batch's values; `keys` has its rows' random numbers, which all sites share."""
        for part, (one, two) in enumerate(zip(own_parts(before), own_parts(after), strict=True)):
            axes = before.axes if one.ndim == len(before.axes) else tuple(a for a in before.axes if a != "batch")
            x, y = (numbers(each).astype(np.float64) for each in (one, two))
            if not (np.isfinite(x).all() and np.isfinite(y).all()):
                raise MethodError(
                    f"{self.site} holds numbers that are not finite", hint="NaN or ∞ in a run: look at it first"
                )
            self.axis = next((axis for axis in AXES if axis in axes), "")
            if not self.axis:
                raise MethodError(
                    f"{self.site} has axes {' '.join(axes)}, none of which counts units",
                    hint=f"sites with an axis {', '.join(AXES)}",
                )
            if self.site.port == "pattern":
                self._patterns(x, y, axes)
            else:
                self._vectors(x, y, axes, rng, keys, part)

    def _patterns(self, x: Floats, y: Floats, axes: tuple[str, ...]) -> None:
        apart = np.abs(x - y).sum(axes.index("key")) / 2
        left = [axis for axis in axes if axis != "key"]
        by_head = np.moveaxis(apart, left.index("head"), 0).reshape(apart.shape[left.index("head")], -1)
        self.apart = by_head.sum(1) + (0 if self.apart is None else self.apart)
        self.count += by_head.shape[1]

    def _vectors(
        self, x: Floats, y: Floats, axes: tuple[str, ...], rng: np.random.Generator, keys: Keys, part: int
    ) -> None:
        moved = Moved.of(x, y, axes.index(self.axis))
        self.moved = moved if self.moved is None else self.moved + moved
        x, y = (_rows(each, axes) for each in (x, y))
        if (part, len(x)) not in keys:
            keys[part, len(x)] = rng.random(len(x))
        self.sample = (self.sample if self.sample.most else Sample.empty(self.most)).shown(keys[part, len(x)], x, y)

    def change(self, count: int) -> SiteDiff:
        if self.apart is not None:
            units = self.apart / self.count
            nothing = np.zeros((0, 0))
            return SiteDiff(self.site, float(units.mean()), float("nan"), "head", units, nothing, np.zeros(0))
        assert self.moved is not None
        x, y = self.sample.rows
        found, shares = directions(y - x, count)
        return SiteDiff(self.site, self.moved.whole, cka(x, y), self.axis, self.moved.each, found, shares)


def _rows(array: Floats, axes: tuple[str, ...]) -> Floats:
    """(row, feature): of heads all dimensions side by side, of images channels; a row is a position."""
    features = [axis for axis in ("head", "dim", "neuron", "channel") if axis in axes]
    order = [axes.index(axis) for axis in axes if axis not in features] + [axes.index(axis) for axis in features]
    width = int(np.prod([array.shape[axes.index(axis)] for axis in features]))
    return array.transpose(order).reshape(-1, width)
