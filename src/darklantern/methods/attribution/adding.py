"""Scores of many batches, added up: only sums are held, and each example's own where they are asked for."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.attribution.asking import Asked
from darklantern.methods.attribution.scoring import Scored
from darklantern.models.recording import Value

Numbers = NDArray[np.float64]
Texts = tuple[tuple[tuple[str, ...], ...], ...]


class Sums:
    """What batches add up to, each with as much weight as it has examples."""

    def __init__(self, wanted: Sequence[Asked], per_example: bool) -> None:
        self._wanted, self._per_example = wanted, per_example
        self._arrays: list[list[Numbers]] = [[] for _ in wanted]
        self._axes: list[tuple[str, ...]] = [() for _ in wanted]
        self._ends: Numbers | None = None
        self._paths: Numbers = np.zeros((0, 2))
        self._count, self._tokens, self._known = 0, list[list[tuple[str, ...]]](), True

    def add(self, scored: Scored) -> None:
        """One batch more. Raises MethodError where its scores have another shape than those before."""
        for place, (each, product) in enumerate(zip(self._wanted, scored.products, strict=True)):
            array, self._axes[place] = each.summed(product, self._per_example)
            self._keep(each, self._arrays[place], array * scored.count)
        ends = np.array([scored.clean, np.nan if scored.corrupt is None else scored.corrupt])
        self._ends = ends * scored.count + (0 if self._ends is None else self._ends)
        paths = np.array(scored.paths) * scored.count
        self._paths = paths + self._paths if self._count else paths
        self._count += scored.count
        self._known = self._known and bool(scored.tokens)
        self._tokens = (
            [
                [*before, *more]
                for before, more in zip(self._tokens or [[]] * len(scored.tokens), scored.tokens, strict=True)
            ]
            if self._known
            else []
        )

    def _keep(self, each: Asked, held: list[Numbers], array: Numbers) -> None:
        # With examples kept, an example's own is its share times how many the metric is a mean of.
        first = held[0] if held else array
        if first.shape[self._per_example :] != array.shape[self._per_example :]:
            raise MethodError(
                f"{each.site} has scores of shape {array.shape} in one batch and {first.shape} in another",
                hint="pin an axis that batches share, or leave its * out to sum over it",
            )
        if self._per_example or not held:
            held.append(array)
        else:
            held[0] = first + array

    def values(self) -> tuple[Value, ...]:
        """For each site its scores, as NumPy."""
        made = []
        for each, held, axes in zip(self._wanted, self._arrays, self._axes, strict=True):
            array = np.concatenate(held) if self._per_example else held[0] / self._count
            if not np.isfinite(array).all():
                raise MethodError(f"scores of {each.site} are not finite", hint="a metric whose gradient is finite")
            array.setflags(write=False)
            made.append(Value(each.site, array, axes))
        return tuple(made)

    @property
    def clean(self) -> float:
        return float(self._mean()[0])

    @property
    def corrupt(self) -> float | None:
        found = float(self._mean()[1])
        return None if np.isnan(found) else found

    @property
    def paths(self) -> tuple[tuple[float, float], ...]:
        return tuple((float(total), float(change)) for total, change in self._paths / self._count)

    @property
    def texts(self) -> tuple[str, ...]:
        """What stands at each position: `clean/corrupt` where the inputs differ, `·` where examples do."""
        if not self._tokens or len({len(tokens) for tokens in self._tokens[0]}) > 1:
            return ()
        columns = [[_shared(column) for column in zip(*tokens, strict=True)] for tokens in self._tokens]
        return tuple("/".join(dict.fromkeys(texts)) for texts in zip(*columns, strict=True))

    def _mean(self) -> Numbers:
        if self._ends is None:
            raise MethodError("expected at least one batch, got none", hint="an iterator gives its batches only once")
        return self._ends / self._count


def _shared(column: Sequence[str]) -> str:
    found = set(column)
    return found.pop() if len(found) == 1 else "·"
