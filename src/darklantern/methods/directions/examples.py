"""Activations with their labels, and which of them a fit never sees."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.directions.probes import Bools, Floats, Probe

LEAST = 2
"""examples of a class on either side of a split: an interval takes two"""


@dataclass(frozen=True, eq=False)
class Examples:
    """What a direction is fitted on and held against."""

    values: NDArray[Any]
    """(example, dim) as they were recorded; of pairs (pair, 2, dim)"""
    labels: Bools
    """whether each is positive; of a pair, whether its first half is the right one"""
    held: Bools
    """whether each is held out"""

    @property
    def pairs(self) -> bool:
        return self.values.ndim == 3

    @property
    def seen(self) -> tuple[Floats, Bools]:
        """What a fit sees; halves of pairs centred, so that what makes them halves is no direction."""
        return self._ready(~self.held), self.labels[~self.held]

    @property
    def unseen(self) -> tuple[Floats, Bools]:
        """What it is held against, centred as what it saw is."""
        return self._ready(self.held), self.labels[self.held]

    @property
    def single(self) -> tuple[Floats, Bools]:
        """What a fit sees, one activation an example: of pairs both halves, and which of them are right."""
        values, labels = self.values[~self.held].astype(np.float64), self.labels[~self.held]
        if not self.pairs:
            return values, labels
        return values.reshape(-1, values.shape[-1]), np.column_stack([labels, ~labels]).reshape(-1)

    @property
    def centre(self) -> Floats:
        """The middle of both halves' means; 0 where there are no pairs."""
        if not self.pairs:
            return np.zeros(self.values.shape[-1])
        made: Floats = self._means().mean(0)
        return made

    def shuffled(self, rng: np.random.Generator) -> "Examples":
        """With the labels drawn anew among all that a fit sees, and among all that are held out."""
        labels = self.labels.copy()
        for side in (self.held, ~self.held):
            labels[side] = rng.permutation(labels[side])
        return replace(self, labels=labels)

    def _ready(self, chosen: Bools) -> Floats:
        values: Floats = self.values[chosen].astype(np.float64)
        return values - self._means() if self.pairs else values

    def _means(self) -> Floats:
        made: Floats = self.values[~self.held].astype(np.float64).mean(0)
        return made


def projected(values: Floats, probe: Probe) -> Floats:
    """How far each example lies on the positive side; of a pair, half of how far its first half is ahead."""
    if values.ndim == 3:
        made: Floats = (values[:, 0] - values[:, 1]) @ probe.vector / 2
        return made
    return values @ probe.vector + probe.offset


def split(labels: Bools, share: "float | Examples", seed: int, groups: Sequence[Any] | None = None) -> Bools:
    """Which examples are held out: of each class a share, drawn by `seed`; with `groups`, whole groups of them.

    With other examples in place of a share those that they hold out, where the labels are theirs; else as large a
    share.

    Raises MethodError for a share that is none, for a class of too few examples, and for groups that are as many as
    something else or leave a side without a class.
    """
    if isinstance(share, Examples):
        if groups is None and np.array_equal(labels, share.labels):
            return share.held
        share = float(share.held.mean())
    if not 0 < share < 1:
        raise MethodError(f"held_out is a share of the examples, between 0 and 1, got {share}", hint="held_out=0.3")
    few = min(int(labels.sum()), int((~labels).sum()))
    if few < 2 * LEAST:
        raise MethodError(
            f"of {len(labels)} examples the smaller class has {few}, and {2 * LEAST} are the least",
            hint="more inputs of that class: some are held out to see how well the direction does",
        )
    rng, named = np.random.default_rng(seed), _numbered(groups, len(labels))
    sizes = np.bincount(named)
    positive = np.bincount(named, weights=labels) > sizes / 2
    held_groups = [_some(np.flatnonzero(positive == kind), sizes, share, rng) for kind in (True, False)]
    held: Bools = np.isin(named, np.concatenate(held_groups))
    _check_sides(labels, held)
    return held


def _numbered(groups: Sequence[Any] | None, count: int) -> NDArray[Any]:
    """The number of each example's group; its own where there are none."""
    if groups is None:
        return np.arange(count)
    if len(groups) != count:
        raise MethodError(f"{len(groups)} groups for {count} examples", hint="one for each example")
    return np.unique([str(each) for each in groups], return_inverse=True)[1]


def _some(groups: NDArray[Any], sizes: NDArray[Any], share: float, rng: np.random.Generator) -> NDArray[Any]:
    """Of these groups, as many as hold a share of their examples: at least one, and not all."""
    order = rng.permutation(groups)
    reached = np.cumsum(sizes[order])
    count = int(np.abs(reached - share * reached[-1]).argmin()) + 1 if len(order) else 0
    least = LEAST if reached[-1:].sum() == len(order) else 1  # single examples
    return order[: min(max(count, least), max(len(order) - least, 0))]


def _check_sides(labels: Bools, held: Bools) -> None:
    for side, name in ((held, "held out"), (~held, "fitted on")):
        few = min(int(labels[side].sum()), int((~labels[side]).sum()))
        if few < LEAST:
            raise MethodError(
                f"of the examples {name}, one class has {few}, and {LEAST} are the least",
                hint="more groups, or another share as held_out",
            )
