"""What path patching found: a number for each sender and receiver."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing import Axis, Field, fields
from darklantern.drawing.scales import number
from darklantern.errors import MethodError
from darklantern.methods.patching.wiring import brief
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.sites import Site, parse
from darklantern.records.findings import Figure, Grid

STRONGEST = 10
"""effects that are figures of their own"""
_UNIT = "share of the effect"


@dataclass(frozen=True, repr=False)
class Paths(Result):
    """The effect of each sender on each receiver alone, as a share of the whole difference.

    0 where the metric stays that of the clean run, 1 where this one path makes it that of the corrupt run.
    """

    senders: tuple[str, ...]
    """one for each row"""
    receivers: tuple[str, ...]
    """one for each column"""
    effects: tuple[tuple[float, ...], ...]
    """(sender, receiver)"""
    clean: float
    """the metric of the run that is patched"""
    corrupt: float
    """the metric of the run that senders' words are taken from"""

    @property
    def array(self) -> NDArray[np.float64]:
        """The effects as NumPy, (sender, receiver)."""
        return np.array(self.effects, dtype=np.float64)

    def ranked(self) -> list[tuple[str, str, float]]:
        """Sender, receiver and effect, the strongest first, whatever its sign."""
        cells = [(one, two, effect) for one, row in zip(self.senders, self.effects, strict=True)
                 for two, effect in zip(self.receivers, row, strict=True)]  # fmt: skip
        return sorted(cells, key=lambda cell: -abs(cell[2]))

    @property
    def says(self) -> str:
        sender, receiver, effect = self.ranked()[0]
        return f"Strongest: {number(effect)} from {sender} to {receiver}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        strongest = self.ranked()[:STRONGEST]
        shares = (Figure(name=f"{one} → {two}", value=effect, unit=_UNIT) for one, two, effect in strongest)
        return Figure(name="clean", value=self.clean), Figure(name="corrupt", value=self.corrupt), *shares

    @property
    def grids(self) -> tuple[Grid, ...]:
        return (Grid(name="paths", unit=_UNIT, rows=self.senders, columns=self.receivers, values=self.effects),)

    @property
    def read(self) -> tuple[Site, ...]:
        return tuple(parse(name) for name in (*self.senders, *self.receivers) if ":" in name)

    def show(self) -> Picture:
        """It as a heat map, senders down and receivers across. Raises RecordError for more than can be told apart."""
        title = "One path patched at a time"
        ends = f"0 is the clean run (metric {self.clean:.4g}), 1 the corrupt one ({self.corrupt:.4g})"
        note = f"Share of the effect lost: {ends}."
        axes = (("sender", self.senders), ("receiver", self.receivers))
        rows, columns = (Axis(name, range(len(each)), tuple(map(brief, each))) for name, each in axes)
        svg = fields(
            [Field("", [list(row) for row in self.effects])], rows, columns, title=title, says=self.says, notes=[note]
        )
        return Picture(svg, title, f"{self.says}. {note}")


def lost(clean: float, corrupt: float) -> float:
    """The whole difference, of which effects are shares. Raises MethodError for none, and for no finite number."""
    if not math.isfinite(clean - corrupt):
        raise MethodError(
            f"the metric is {clean:g} on clean inputs and {corrupt:g} on corrupt ones", hint="it must be finite"
        )
    if clean == corrupt:
        raise MethodError(
            f"clean and corrupt inputs give the same metric, {clean:g}, so nothing can be lost between them",
            hint="choose inputs between which the behaviour differs",
        )
    return clean - corrupt
