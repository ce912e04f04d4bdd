"""What a selection means on an array: read a part, or write one. Arrays of any framework that index like NumPy's.

Axes are taken one after the other, never all in one index: several sets of indices in one index would
broadcast against each other instead of spanning a grid.
"""

from collections.abc import Sequence
from typing import Any

from darklantern.errors import SiteError
from darklantern.models.sites import Pin, Several, Site, Span

Index = int | slice | list[int]
"""of one axis; an int takes the axis away"""
ALL = slice(None)


def indices(site: Site, axes: Sequence[str], shape: Sequence[int]) -> tuple[Index, ...]:
    """`site`'s selection as one index for each axis. Raises SiteError for an axis or an index that is not there."""
    if not site.select:
        return (ALL,) * len(shape)
    pins = dict(site.select)
    unknown = [axis for axis in pins if axis not in axes]
    if unknown:
        raise SiteError(
            f"{site} pins {unknown[0]!r}, and the value there has axes {' '.join(axes)}, shape {tuple(shape)}",
            hint="pin one of those axes",
        )
    return tuple(_index(site, axis, pins.get(axis, "*"), size) for axis, size in zip(axes, shape, strict=True))


def remaining(axes: Sequence[str], index: Sequence[Index]) -> tuple[str, ...]:
    """The axes that are left: a single index takes its axis away."""
    return tuple(axis for axis, at in zip(axes, index, strict=True) if not isinstance(at, int))


def part(value: Any, index: Sequence[Index]) -> Any:
    """What `index` selects of `value`; a view unless a set of indices is among it."""
    seen = value[tuple(ALL if isinstance(at, list) else at for at in index)]
    for axis, at in enumerate([at for at in index if not isinstance(at, int)]):
        if isinstance(at, list):
            seen = seen[(*(ALL,) * axis, at)]
    return seen


def write(target: Any, index: Sequence[Index], new: Any) -> None:
    """Put `new`, shaped as `part(target, index)`, into `target` in place."""
    view = target[tuple(ALL if isinstance(at, list) else at for at in index)]
    kept = [at if isinstance(at, list) else ALL for at in index if not isinstance(at, int)]
    lists = [axis for axis, at in enumerate(kept) if isinstance(at, list)]
    if len(lists) <= 1:
        view[tuple(kept)] = new
        return
    first = lists[0]
    rest = [ALL if axis == first else at for axis, at in enumerate(kept)]
    for place, at in enumerate(kept[first]):  # type: ignore[arg-type]  # a list, by the choice of `first`
        inner = [each for axis, each in enumerate(rest) if axis != first]
        write(view[(*(ALL,) * first, at)], inner, new[(*(ALL,) * first, place)])


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


def whole(index: Sequence[Index]) -> bool:
    """Whether `index` selects everything."""
    return all(at == ALL for at in index)
