"""How faithful circuits of growing size are, as a curve, its areas, and their intervals over the data."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing import Bar, bars
from darklantern.drawing.scales import number
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.records.findings import Figure, Grid

FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""of all edges: those of MIB"""
_TAIL = 2.5
"""percent below and above an interval"""
Numbers = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Faithfulness(Result):
    """The share of a behaviour that circuits make by themselves, by their share of all edges."""

    how: str
    """by what edges were scored"""
    ablation: str
    """what is heard over edges that are not kept"""
    fractions: tuple[float, ...]
    """that were asked for; the areas are over them, as in MIB"""
    edges: tuple[int, ...]
    """how many each circuit has: one at least, and fewer where some hung on nothing"""
    whole: tuple[float, ...]
    """the metric of the whole model, of each contrast"""
    none: tuple[float, ...]
    """without any edge"""
    metrics: tuple[tuple[float, ...], ...]
    """(contrast, fraction), of the circuits"""
    faithfulness: tuple[float, ...]
    """of each fraction"""
    draws: int
    """bootstrap samples"""

    @property
    def cpr(self) -> float:
        """Circuit performance ratio: the area under faithfulness. More is better."""
        return float(_area(self.fractions, np.array(self.faithfulness)))

    @property
    def cmd(self) -> float:
        """Circuit-model distance: the area between faithfulness and 1. Less is better."""
        return float(_area(self.fractions, np.abs(1 - np.array(self.faithfulness))))

    @property
    def cpr_interval(self) -> tuple[float, float] | None:
        """Of 95 %; None for a single contrast, and where draws of them have no behaviour to share."""
        return self._interval(_area(self.fractions, self._drawn), self.cpr) if self._shared else None

    @property
    def cmd_interval(self) -> tuple[float, float] | None:
        """Of 95 %; None where `cpr_interval` is. A distance folds noise, so draws may all lie above the estimate."""
        return self._interval(_area(self.fractions, np.abs(1 - self._drawn)), self.cmd) if self._shared else None

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        """Bootstrap samples of the contrasts, (draw, contrast)."""
        rng, count = np.random.default_rng(self.made.seed or 0), len(self.whole)
        return rng.integers(count, size=(self.draws, count))

    @cached_property
    def _behaviour(self) -> Numbers:
        """What there is to share on each sample, (draw,)."""
        found: Numbers = (np.array(self.whole) - np.array(self.none))[self._rows].mean(axis=1)
        return found

    @cached_property
    def _shared(self) -> bool:
        """Whether nearly all samples have a behaviour of the same sign, so that shares of it mean something."""
        same = np.sign(self._behaviour) == np.sign(np.mean(self.whole) - np.mean(self.none))
        return len(self.whole) > 1 and bool(same.mean() >= 1 - _TAIL / 100)

    @cached_property
    def _drawn(self) -> Numbers:
        """Faithfulness on each sample that has the behaviour, (draw, fraction)."""
        kept = self._behaviour * (np.mean(self.whole) - np.mean(self.none)) > 0
        none = np.array(self.none)[self._rows[kept]].mean(axis=1)[:, None]
        return (np.array(self.metrics)[self._rows[kept]].mean(axis=1) - none) / self._behaviour[kept, None]

    @staticmethod
    def _interval(numbers: Numbers, value: float) -> tuple[float, float]:
        low, high = np.percentile(numbers, [_TAIL, 100 - _TAIL])
        return min(float(low), value), max(float(high), value)

    @property
    def says(self) -> str:
        return f"CMD {number(self.cmd)}, CPR {number(self.cpr)}: edges by {self.how}, the others {self.ablation}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        areas = (("CPR", self.cpr, self.cpr_interval), ("CMD", self.cmd, self.cmd_interval))
        made = []
        for name, value, interval in areas:
            ends = zip((f"{name}, {_TAIL} %", f"{name}, {100 - _TAIL} %"), interval or (), strict=False)
            made += [Figure(name=name, value=value), *(Figure(name=each, value=end) for each, end in ends)]
        for share, count, value in zip(self.fractions, self.edges, self.faithfulness, strict=True):
            made.append(Figure(name=f"faithfulness of {share:.4g} of the edges ({count})", value=value))
        return tuple(made)

    @property
    def grids(self) -> tuple[Grid, ...]:
        rows, columns = tuple(map(str, range(len(self.whole)))), tuple(f"{share:.4g}" for share in self.fractions)
        return (Grid(name="metric of the circuit", unit="", rows=rows, columns=columns, values=self.metrics),)

    def show(self) -> Picture:
        """It as bars, one for each share of the edges, with intervals of 95 % where there are several contrasts."""
        title = "Faithfulness by share of edges"
        ends: list[tuple[float, float] | None] = [None] * len(self.fractions)
        if self._shared:
            ends = [self._interval(*each) for each in zip(self._drawn.T, self.faithfulness, strict=True)]
        shown = [
            Bar(label=f"{share:.4g} ({count} edges)", value=value, interval=interval)
            for share, count, value, interval in zip(self.fractions, self.edges, self.faithfulness, ends, strict=True)
        ]
        return Picture(bars(shown, title=title, unit="of the behaviour", note=self.says), title, self.says)


def _area(fractions: tuple[float, ...], values: Numbers) -> Numbers:
    """By trapezoids, over the fractions as they are."""
    area: Numbers = np.trapezoid(values, np.array(fractions), axis=-1)
    return area
