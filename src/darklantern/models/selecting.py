"""What a selection means on an array: read a part, or write one. Arrays of any framework that index like NumPy's.

Axes are taken one after the other, never all in one index: several sets of indices in one index would
broadcast against each other instead of spanning a grid.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from darklantern.errors import SiteError
from darklantern.models.counting import ALL, OF_TOKENS, Index, Known, index_of, one_each, within
from darklantern.models.shim import listed, stacked
from darklantern.models.sites import Each, Site, meant_axis

__all__ = ["ALL", "Index", "Selection", "select"]


@dataclass(frozen=True)
class Selection:
    """A site's selection on a value of known axes and shape."""

    axes: tuple[str, ...]
    index: tuple[Index, ...]
    """one for each axis"""
    columns: tuple[int, ...] | None = None
    """the index of `pos`, where each example has its own; None where they share one"""

    def __post_init__(self) -> None:
        if "pos" not in self.axes:
            return
        pos = self.axes.index("pos")
        if self.columns is not None:
            object.__setattr__(self, "index", (*self.index[:pos], Each(self.columns), *self.index[pos + 1 :]))
        elif isinstance(at := self.index[pos], Each):
            object.__setattr__(self, "columns", at)

    @property
    def whole(self) -> bool:
        """Whether everything is selected."""
        return all(at == ALL for at in self.index)

    @property
    def remaining(self) -> tuple[str, ...]:
        """The axes that are left: a single index takes its axis away."""
        return tuple(axis for axis, at in zip(self.axes, self.index, strict=True) if not isinstance(at, int | Each))

    def part(self, value: Any) -> Any:
        """What is selected of `value`; a view where it can be one."""
        if not self._each:
            return _part(value, self.index)
        parts = [_part(value, index) for index in self._by_example()]
        return stacked(parts, self.remaining.index("batch"))

    def write(self, target: Any, new: Any) -> None:
        """Put `new`, shaped as `part(target)`, into `target` in place, which JAX's arrays do not allow."""
        if not self._each:
            _write(target, self.index, new)
            return
        axis = self.remaining.index("batch")
        for number, index in enumerate(self._by_example()):
            _write(target, index, new[(*(ALL,) * axis, number)])

    def numbers(self, axis: str, size: int) -> list[int]:
        """The indices that are selected of one axis."""
        at = self.index[self.axes.index(axis)]
        if isinstance(at, int):
            return [at]
        return list(at) if isinstance(at, list | Each) else list(range(size))[at]

    @property
    def _each(self) -> bool:
        return any(isinstance(at, Each) for at in self.index)

    def _by_example(self) -> list[tuple[Index, ...]]:
        """One index for each of the examples, in which nothing differs from example to example."""
        examples = self.numbers("batch", next(len(at) for at in self.index if isinstance(at, Each)))
        batch = self.axes.index("batch")
        return [
            tuple(
                example if axis == batch else at[number] if isinstance(at, Each) else at
                for axis, at in enumerate(self.index)
            )
            for number, example in enumerate(examples)
        ]


def select(
    site: Site,
    axes: tuple[str, ...],
    shape: Sequence[int],
    lengths: Sequence[int] | None = None,
    *,
    width: int | None = None,
    cut: Collection[str] = (),
    some: bool = False,
    mixes: bool = False,
) -> Selection:
    """`site`'s selection on a value of these axes. Raises SiteError for an axis or an index that is not there.

    `lengths` are the examples' own, without padding, and `width` their positions with it (their longest, if not
    said): positions and keys that are those tokens count within them, but on axes that are `cut`, parts already. With
    `some`, a selection of nothing is refused; if what is selected `mixes` examples, one that takes in padding.
    """
    if not site.select and not (mixes and lengths):
        return Selection(axes, (ALL,) * len(shape))
    pins = dict(site.select)
    unknown = [axis for axis in pins if axis not in axes]
    if unknown:
        raise SiteError(
            f"{site} pins {unknown[0]!r}, and the value there has axes {' '.join(axes)}, shape {tuple(shape)}",
            hint="step= is for model.generate(...)"
            if unknown[0] == "step"
            else meant_axis(unknown[0], axes, "pin one of those axes"),
        )
    sizes = dict(zip(axes, shape, strict=True))
    examples = (
        _numbers(index_of(site, "batch", pins.get("batch", "*"), sizes["batch"]), sizes) if "batch" in axes else [0]
    )
    index: list[Index] = []
    for axis in axes:
        pin, known = pins.get(axis, "*"), None
        if axis in OF_TOKENS and lengths and examples and axis not in cut and (mixes or pin != "*"):
            known = Known.of(site, axis, sizes, lengths, width, examples)
        if isinstance(pin, Each):
            index.append(one_each(site, axis, pin, sizes, examples, known))
        elif known is None or pin == "*":
            index.append(index_of(site, axis, pin, sizes[axis]))
        else:
            index.append(within(site, axis, pin, sizes[axis], known))
        if mixes and pin == "*" and known and known.fits and known.padded:
            raise SiteError(
                f"{site}: the examples have from {min(known.own)} to {max(known.own)} tokens, so one would get "
                "another's padding",
                hint=f"pin {axis} to what all have, such as {axis}=-1, or run prompts of one length",
            )
    if some:
        _refuse_nothing(site, axes, index, sizes)
    if any(isinstance(at, Each) for at in index) and isinstance(index[axes.index("batch")], slice):
        index[axes.index("batch")] = list(examples)  # by number, to which those of Each correspond one by one
    return Selection(axes, tuple(index))


def _refuse_nothing(site: Site, axes: Sequence[str], index: Sequence[Index], sizes: dict[str, int]) -> None:
    for axis, at in zip(axes, index, strict=True):
        if isinstance(at, slice) and at != ALL and not len(range(sizes[axis])[at]):
            raise SiteError(
                f"{site} selects nothing: axis {axis} has {sizes[axis]}",
                hint=f"a slice such as 0:{sizes[axis]} holds something; the second number is the first left out",
            )


def _numbers(at: Index, sizes: dict[str, int]) -> list[int]:
    if isinstance(at, int):
        return [at]
    return list(range(sizes["batch"]))[at] if isinstance(at, slice) else list(at)


def _part(value: Any, index: Sequence[Index]) -> Any:
    seen = value[tuple(ALL if isinstance(at, list) else at for at in index)]
    for axis, at in enumerate([at for at in index if not isinstance(at, int)]):
        if isinstance(at, list):
            seen = seen[(*(ALL,) * axis, listed(at, seen))]
    return seen


def _write(target: Any, index: Sequence[Index], new: Any) -> None:
    view = target[tuple(ALL if isinstance(at, list) else at for at in index)]
    kept = [at if isinstance(at, list) else ALL for at in index if not isinstance(at, int)]
    lists = [axis for axis, at in enumerate(kept) if isinstance(at, list)]
    if len(lists) <= 1:
        view[tuple(kept)] = new
        return
    first = lists[0]
    inner = [at for axis, at in enumerate(kept) if axis != first]
    for place, at in enumerate(kept[first]):  # type: ignore[arg-type]  # a list, by the choice of `first`
        _write(view[(*(ALL,) * first, at)], inner, new[(*(ALL,) * first, place)])
