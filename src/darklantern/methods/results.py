"""What every method returns: figures with units, what they cost, a picture, and evidence for a finding."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from darklantern.counted import counted
from darklantern.methods.making import Made
from darklantern.models.picture import Picture
from darklantern.records.findings import Evidence, Figure, Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

_TOLD = 24
"""figures that are printed; `.figures` has them all"""


@dataclass(frozen=True, kw_only=True, repr=False)
class Result(ABC):
    """A frozen result. What it holds besides stands at each method's own."""

    made: Made = field(repr=False, compare=False)
    """with what it was made, and at what cost"""

    @property
    @abstractmethod
    def says(self) -> str:
        """The result in a line."""

    @property
    @abstractmethod
    def figures(self) -> tuple[Figure, ...]:
        """Its numbers by name, each with its unit."""

    @abstractmethod
    def show(self) -> Picture:
        """It as a picture."""

    @property
    def grids(self) -> tuple[Grid, ...]:
        """Its tables, where it has some."""
        return ()

    @property
    def read(self) -> "Sequence[object]":
        """The sites that it read or changed."""
        return ()

    def evidence(self) -> Evidence:
        """It as one measured result of a finding, with what it was made from.

        Hashes the model's weights, which takes as long as reading them all. Raises SiteError where they have changed
        since, and MethodError for data that have no bytes to hash.
        """
        return Evidence(
            method=self.made.method,
            summary="; ".join([self.says, *(f"under {each}" for each in self.made.standing)]),
            provenance=self.made.provenance(),
            sites=tuple(map(str, self.read)),
            figures=self.figures,
            grids=self.grids,
        )

    def _repr_html_(self) -> str:
        return self.show()._repr_html_()

    def __repr__(self) -> str:
        told = self.figures[:_TOLD]
        wide = max((len(each.name) for each in told), default=0)
        lines = [f"  {each.name.ljust(wide)}  {each.value:.4g} {each.unit}".rstrip() for each in told]
        if left := len(self.figures) - len(told):
            lines.append(f"  … {counted(left, 'more figure')}")
        return "\n".join([self.says, *lines, f"  {self.made.cost}"])
