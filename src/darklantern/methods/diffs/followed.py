"""A direction followed from one checkpoint to the next: what is asked for, and what was found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from darklantern.methods.directions import Direction, Interval, Transfer
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid


@dataclass(frozen=True, eq=False)
class Followed:
    """A direction found in the earlier checkpoint, with the inputs that it was found on, in the same order.

    `positive` and `negative` are what `direction` was given; labels are those that it keeps. Both may be iterables of
    batches, which are streamed.
    """

    direction: Direction
    positive: Any = field(repr=False)
    negative: Any = field(repr=False, default=None)
    name: str = ""
    """what it is called; of two of one kind at one site, each needs one"""
    draws: int = 200
    """of examples, for the interval and the floor: six fits each"""
    at_once: int = 32
    """prompts a batch"""

    @property
    def called(self) -> str:
        return self.name or f"{self.direction.how} at {self.direction.site}"


@dataclass(frozen=True, eq=False)
class DirectionDiff:
    """A direction, frozen as it was found and fitted again on the later checkpoint, on the same examples.

    Of directions that did not change, at most 5 in 100 are said to have moved; each is judged by itself. Examples are
    taken for independent of each other.
    """

    name: str
    transfer: Transfer = field(repr=False)
    """the held-out AUROC of both there; `.refit` is the direction as it is there"""
    cosine: Interval
    """between both, with the 95 % interval over draws of examples, the same for both"""
    floor: Interval
    """between a fit on each, had nothing turned but the examples been others: from fits on draws of as many examples of
    each checkpoint, the median, and where 95 % of them lie"""

    @property
    def moved(self) -> bool:
        """Whether the cosine is lower, all its interval, than what other examples give without any change."""
        return self.cosine.high < self.floor.low

    @property
    def site(self) -> Site:
        return self.transfer.frozen.site

    @property
    def before(self) -> Interval:
        """The held-out AUROC in the earlier checkpoint."""
        return self.transfer.frozen.auroc

    @property
    def says(self) -> str:
        told = "moved" if self.moved else "did not move further than other examples move it"
        return (
            f"{self.name} {told}: cosine {self.cosine}, other examples {self.floor}; AUROC {self.before} before, "
            f"{self.transfer.auroc} after, {self.transfer.refit.auroc} refitted"
        )

    @property
    def row(self) -> tuple[float, ...]:
        """Its numbers, as `COLUMNS` names them."""
        every = (self.cosine, self.floor, self.before, self.transfer.auroc, self.transfer.refit.auroc)
        return (*(number for each in every for number in each), float(self.moved))

    @property
    def figures(self) -> Iterator[Figure]:
        for name, value in zip(COLUMNS, self.row, strict=True):
            yield Figure(name=f"{self.name}: {name}", value=value)


_MEASURED = ("cosine", "cosine of other examples", "AUROC before", "AUROC after", "AUROC refitted")
COLUMNS = (*(name + end for name in _MEASURED for end in ("", ", 95 % from", ", 95 % to")), "moved")


def table(every: Sequence[DirectionDiff]) -> Grid:
    """All of them, a row each."""
    names, values = tuple(each.name for each in every), tuple(each.row for each in every)
    return Grid(name="directions", unit="", rows=names, columns=COLUMNS, values=values)
