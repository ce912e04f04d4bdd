"""Means and sums of a value over named axes, of each example's own tokens where those are known."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from darklantern.errors import SiteError
from darklantern.models.shim import stacked
from darklantern.models.sites import meant_axis

if TYPE_CHECKING:
    from darklantern.models.recording import Value


def without(value: "Value", axes: Sequence[str], how: str) -> tuple[Any, tuple[str, ...]]:
    """The `how`, mean or sum, of `value` over `axes`, and what axes are left. Raises SiteError for one not there."""
    missing = [axis for axis in axes if axis not in value.axes]
    if missing or not axes:
        named = f'axes go by their names: value.{how}("{(value.axes or ("pos",))[0]}")'
        came = ", ".join(map(repr, missing)) or "none"
        raise SiteError(
            f"expected axes of {value.site}, which are {' '.join(value.axes) or 'none'}, got {came}",
            hint=meant_axis(str(missing[0]), value.axes, named) if missing else named,
        )
    left = tuple(axis for axis in value.axes if axis not in axes)
    if "batch" in axes:
        _refuse_padding(value, left, how)
    known = {axis: own for axis in axes if (own := value.own_lengths(axis)) and set(own) != {_size(value, axis)}}
    if not known:
        return getattr(value.array, how)(tuple(value.axes.index(axis) for axis in axes)), left
    return _over_own(value, axes, how, known, left), left


def _over_own(
    value: "Value", axes: Sequence[str], how: str, known: dict[str, Sequence[int]], left: tuple[str, ...]
) -> Any:
    """Example by example, each up to its own length along the axes in `known`."""
    inner = [axis for axis in value.axes if axis != "batch"]
    gone = tuple(inner.index(axis) for axis in axes if axis != "batch")
    examples = range(_size(value, "batch")) if "batch" in value.axes else range(1)
    sums, counts = [], []
    for number in examples:
        array = value.array[_at(value.axes, "batch", number)] if "batch" in value.axes else value.array
        own = {axis: lengths[number] for axis, lengths in known.items()}
        sums.append(array[tuple(slice(own.get(axis)) for axis in inner)].sum(gone))
        counts.append(math.prod(own.get(axis, _size(value, axis)) for axis in axes if axis != "batch"))
    if "batch" in axes:
        return sum(sums) / sum(counts) if how == "mean" else sum(sums)
    made = [total / count for total, count in zip(sums, counts, strict=True)] if how == "mean" else sums
    if "batch" not in value.axes:
        return made[0]
    return stacked(made, left.index("batch"))


def _refuse_padding(value: "Value", left: Sequence[str], how: str) -> None:
    """Over examples of several lengths, position by position: where one ends, another's padding would count."""
    for axis in ("pos", "key"):
        own = value.own_lengths(axis) if axis in left else None
        if own and len(set(own)) > 1:
            raise SiteError(
                f"{how} of {value.site} over batch: the prompts differ in length, from {min(own)} to {max(own)} "
                f"tokens, so by {axis} it would count padding",
                hint=f"pin a position that all have, value.at({axis}=-1), or take {axis} in: "
                f'value.{how}("batch", "{axis}")',
            )


def own_parts(value: "Value") -> Iterator[Any]:
    """Its array without padding, in as many parts as that takes."""
    known = {
        axis: own for axis in ("pos", "key") if (own := value.own_lengths(axis)) and set(own) != {_size(value, axis)}
    }
    if not known:
        yield value.array
        return
    batched = "batch" in value.axes
    inner = [axis for axis in value.axes if axis != "batch"]
    for number in range(_size(value, "batch") if batched else 1):
        array = value.array[_at(value.axes, "batch", number)] if batched else value.array
        yield array[tuple(slice(known[axis][number] if axis in known else None) for axis in inner)]


def _at(axes: Sequence[str], axis: str, number: int) -> tuple[Any, ...]:
    return (*(slice(None),) * list(axes).index(axis), number)


def _size(value: "Value", axis: str) -> int:
    return value.shape[value.axes.index(axis)]
