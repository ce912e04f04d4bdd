"""What a selection means on an array: read a part, or write one. Arrays of any framework that index like NumPy's.

Axes are taken one after the other, never all in one index: several sets of indices in one index would
broadcast against each other instead of spanning a grid.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from darklantern.errors import SiteError
from darklantern.models.sites import Pin, Several, Site, Span

Index = int | slice | list[int]
"""of one axis; an int takes the axis away"""
ALL = slice(None)


@dataclass(frozen=True)
class Selection:
    """A site's selection on a value of known axes and shape."""

    axes: tuple[str, ...]
    index: tuple[Index, ...]
    """one for each axis"""
    columns: tuple[int, ...] | None = None
    """where each example's position stands, when examples differ in length; the index of `pos` is then unused"""

    @property
    def whole(self) -> bool:
        """Whether everything is selected."""
        return self.columns is None and all(at == ALL for at in self.index)

    @property
    def remaining(self) -> tuple[str, ...]:
        """The axes that are left: a single index takes its axis away."""
        gone = "pos" if self.columns else None
        return tuple(
            axis for axis, at in zip(self.axes, self.index, strict=True) if not isinstance(at, int) and axis != gone
        )

    def part(self, value: Any) -> Any:
        """What is selected of `value`; a view where it can be one."""
        if self.columns is None:
            return _part(value, self.index)
        parts = [_part(value, index) for index in self._by_example()]
        return sys.modules[type(value).__module__.partition(".")[0]].stack(parts, self.remaining.index("batch"))

    def write(self, target: Any, new: Any) -> None:
        """Put `new`, shaped as `part(target)`, into `target` in place."""
        if self.columns is None:
            _write(target, self.index, new)
            return
        axis = self.remaining.index("batch")
        for number, index in enumerate(self._by_example()):
            _write(target, index, new[(*(ALL,) * axis, number)])

    def numbers(self, axis: str, size: int) -> list[int]:
        """The indices that are selected of one axis."""
        at = self.index[self.axes.index(axis)]
        if axis == "pos" and self.columns is not None:
            return list(self.columns)
        if isinstance(at, int):
            return [at]
        return at if isinstance(at, list) else list(range(size))[at]

    def _by_example(self) -> list[tuple[Index, ...]]:
        """One index for each of the examples, in which batch and position are single numbers."""
        assert self.columns is not None
        batch, pos = self.axes.index("batch"), self.axes.index("pos")
        made = []
        for example, column in zip(self.numbers("batch", len(self.columns)), self.columns, strict=True):
            index = list(self.index)
            index[batch], index[pos] = example, column
            made.append(tuple(index))
        return made


def select(site: Site, axes: tuple[str, ...], shape: Sequence[int], lengths: Sequence[int] | None = None) -> Selection:
    """`site`'s selection on a value of these axes. Raises SiteError for an axis or an index that is not there.

    `lengths` are the examples' own, without padding: positions count within them.
    """
    if not site.select:
        return Selection(axes, (ALL,) * len(shape))
    pins = dict(site.select)
    unknown = [axis for axis in pins if axis not in axes]
    if unknown:
        raise SiteError(
            f"{site} pins {unknown[0]!r}, and the value there has axes {' '.join(axes)}, shape {tuple(shape)}",
            hint="pin one of those axes",
        )
    sizes = dict(zip(axes, shape, strict=True))
    ragged = lengths is not None and "pos" in pins and pins["pos"] != "*" and "batch" in axes
    if not ragged or lengths is None or sizes["batch"] != len(lengths):
        return Selection(axes, tuple(_index(site, axis, pins.get(axis, "*"), sizes[axis]) for axis in axes))
    pin = pins.pop("pos")
    made = Selection(axes, tuple(_index(site, axis, pins.get(axis, "*"), sizes[axis]) for axis in axes))
    return _within(site, made, pin, [lengths[number] for number in made.numbers("batch", len(lengths))])


def _within(site: Site, made: Selection, pin: Pin, lengths: Sequence[int]) -> Selection:
    """`made` with a position that counts in each example's own tokens."""
    pos = made.axes.index("pos")

    def at(index: Index) -> Selection:
        return replace(made, index=(*made.index[:pos], index, *made.index[pos + 1 :]))

    longest = min(lengths)  # of what all examples have
    if len(set(lengths)) == 1:
        return at(_index(site, "pos", pin, longest) if not isinstance(pin, Span) else _clipped(pin, longest))
    if isinstance(pin, int) and pin < 0:
        columns = tuple(_index(site, "pos", pin, length) for length in lengths)
        return replace(made, columns=tuple(each for each in columns if isinstance(each, int)))
    ends = pin if isinstance(pin, Span | Several) else (pin,)
    if any(isinstance(end, int) and end < 0 for end in ends) or (isinstance(pin, Span) and pin.stop is None):
        raise SiteError(
            f"{site} counts from the end, and the examples have from {min(lengths)} to {max(lengths)} tokens",
            hint="one position from the end, such as pos=-1, works; or batch examples of one length",
        )
    return at(_clipped(pin, longest) if isinstance(pin, Span) else _index(site, "pos", pin, longest))


def _clipped(pin: Span, size: int) -> slice:
    return slice(*slice(pin.start, pin.stop).indices(size))


def _part(value: Any, index: Sequence[Index]) -> Any:
    seen = value[tuple(ALL if isinstance(at, list) else at for at in index)]
    for axis, at in enumerate([at for at in index if not isinstance(at, int)]):
        if isinstance(at, list):
            seen = seen[(*(ALL,) * axis, at)]
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


def _index(site: Site, axis: str, pin: Pin, size: int) -> Index:
    if pin == "*":
        return ALL
    if isinstance(pin, Span):
        return slice(pin.start, pin.stop)
    for each in pin if isinstance(pin, Several) else (pin,):
        if not isinstance(each, int) or not -size <= each < size:
            raise SiteError(
                f"{site} is outside the value there: axis {axis} has {size}",
                hint=f"indices go from 0 to {size - 1}, or from -{size} to -1",
            )
    return [each % size for each in pin] if isinstance(pin, Several) else int(pin) % size
