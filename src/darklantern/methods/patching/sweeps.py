"""What a sweep found: a number for each site and index, as an array, a table and a picture."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing.scales import number
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid

_WIDE = 150
"""characters of a printed table"""
_TALL = 60
"""its rows"""
STRONGEST = 10
"""effects that are figures of their own"""


@dataclass(frozen=True, repr=False)
class Sweep(Result):
    """The effect of patching each site at each index, as a share of the whole difference.

    1 means that this one patch restores the metric of the clean run, 0 that it leaves that of the corrupt run.
    """

    sites: tuple[Site, ...]
    """one for each row"""
    axis: str
    """what the columns count: `pos`, `head`, …; empty where each site was patched in one go"""
    indices: tuple[int, ...]
    """one for each column"""
    effects: tuple[tuple[float, ...], ...]
    """(site, index)"""
    clean: float
    """the metric of the run that patches are taken from"""
    corrupt: float
    """the metric of the run that they are put into"""
    tokens: tuple[tuple[str, str], ...] = ()
    """at each position, what stands there in the clean and in the corrupt run; `·` where examples differ"""

    @property
    def array(self) -> NDArray[np.float64]:
        """The effects as NumPy, (site, index)."""
        return np.array(self.effects, dtype=np.float64)

    def site(self, row: int, column: int) -> Site:
        """What was patched in one cell."""
        return self.sites[row].at(**{self.axis: self.indices[column]}) if self.axis else self.sites[row]

    def ranked(self, by: Callable[[float], float] = float) -> list[tuple[Site, float]]:
        """What was patched, with its effect: what restores most first, or, `by=abs`, what moves the metric most.

        Last where a patched run's metric was NaN.
        """
        cells = [
            (self.site(row, column), effect)
            for row, effects in enumerate(self.effects)
            for column, effect in enumerate(effects)
        ]
        return sorted(cells, key=lambda cell: (math.isnan(cell[1]), -by(cell[1])))

    def show(self) -> Picture:
        """It as a heat map: layers down where the sites are those of layers, positions or heads across.

        Sites of several kinds, such as `layers.*:out` and `layers.*.mlp:out`, stand side by side. Raises RecordError
        for more than can be told apart.
        """
        from darklantern.methods.patching.showing import picture

        return picture(self)

    @property
    def texts(self) -> tuple[str, ...]:
        """The tokens as one text a position: `clean/corrupt` where they differ."""
        return tuple(mine if mine == theirs else f"{mine}/{theirs}" for mine, theirs in self.tokens)

    @property
    def scale(self) -> str:
        """What 0 and 1 stand for."""
        return f"0 is the corrupt run (metric {self.corrupt:.4g}), 1 the clean one ({self.clean:.4g})"

    @property
    def says(self) -> str:
        row, column = divmod(int(np.nan_to_num(np.abs(self.array)).argmax()), self.array.shape[1])
        return f"Strongest: {number(self.effects[row][column])} at {self.site(row, column)}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        strongest = self.ranked(abs)[:STRONGEST]
        shares = (Figure(name=str(site), value=effect, unit="share of the effect") for site, effect in strongest)
        return Figure(name="clean", value=self.clean), Figure(name="corrupt", value=self.corrupt), *shares

    @property
    def grids(self) -> tuple[Grid, ...]:
        columns = tuple(map(str, self.indices)) if self.axis else ("whole",)
        name = f"patched, by {self.axis}" if self.axis else "patched"
        return (Grid(name=name, unit="share of the effect", rows=tuple(map(str, self.sites)), columns=columns,
                     values=self.effects),)  # fmt: skip

    @property
    def read(self) -> tuple[Site, ...]:
        return self.sites

    def __repr__(self) -> str:
        return "\n".join([f"share of the effect restored: {self.scale}", *self._lines()])

    def _lines(self) -> Iterator[str]:
        texts = self.texts
        shown = [
            [str(index), *texts[column : column + 1], *(f"{row[column]:z.2f}" for row in self.effects[:_TALL])]
            for column, index in enumerate(self.indices if self.axis else ("whole",))
        ]
        names = [self.axis, *[""] * bool(texts), *map(str, self.sites[:_TALL])]
        room = _WIDE - max(map(len, names))
        columns: list[list[str]] = []
        for column in shown:
            room -= max(map(len, column)) + 2
            if room < 0:
                break
            columns.append(column)
        widths = [max(map(len, column)) for column in columns]
        more = "  …" * (len(columns) < len(shown))
        for place, name in enumerate(names):
            cells = (column[place].rjust(width) for column, width in zip(columns, widths, strict=True))
            yield "  ".join([name.ljust(max(map(len, names))), *cells]) + more
        if len(self.sites) > _TALL:
            yield f"… {len(self.sites) - _TALL} more rows; .array has them all"


def told(
    clean: Sequence[Sequence[str]], corrupt: Sequence[Sequence[str]], positions: Sequence[int]
) -> tuple[tuple[str, str], ...]:
    """What stands at each position of two batches."""
    return tuple((_shared(clean, position), _shared(corrupt, position)) for position in positions)


def _shared(tokens: Sequence[Sequence[str]], position: int) -> str:
    found = {each[position] for each in tokens}
    return found.pop() if len(found) == 1 else "·"
