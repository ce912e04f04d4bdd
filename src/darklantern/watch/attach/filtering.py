"""A batch with only some of its examples: each part of it that has one entry for each example follows.

In: a batch as a loader yields it, and which of its examples are to stand in the new one. Out: one of the same make.
What has no entry for each example, such as a scale or a count of tokens, stays as it is.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.models import shim
from darklantern.watch.examples import Examples

_HINT = "yield tensors, arrays and flat lists whose first axis is the batch, in tuples, lists and maps"


@dataclass(frozen=True)
class Filter:
    """Which of a batch's examples stand in the new one, and how arrays of the loop's framework are cut."""

    order: NDArray[np.intp]
    count: int
    """examples in the batch"""
    take: Callable[[Any, NDArray[np.intp]], Any]
    """an array whose first axis is the batch → its entries at these places"""
    other: Callable[[Any], Any] = lambda part: part
    """what is no array, list, tuple or map"""

    def of(self, batch: Any) -> Any:
        """`batch` of these examples alone. Raises WatchError where a part cannot be cut, or could be cut in two ways.

        A tensor, an array and a flat list of as many entries as the batch has examples count as one for each.
        """
        try:
            return self._part(batch, True)
        except (TypeError, ValueError, IndexError, RuntimeError, NotImplementedError) as error:
            raise WatchError(
                f"suspect examples cannot be taken out of a batch, {type(batch).__name__}: {error}", hint=_HINT
            ) from error

    def _part(self, part: Any, outermost: bool = False) -> Any:
        if isinstance(part, Examples):
            return part.take(self.order) if len(part) == self.count else part
        if shim.is_array(part):
            return self.take(part, self.order) if self._fits(part) else part
        if isinstance(part, Mapping):
            made = {name: self._part(each) for name, each in part.items()}
            return made if type(part) is dict else _of_kind(part, made)
        if hasattr(part, "_fields"):
            return type(part)(*(self._part(each) for each in part))
        if isinstance(part, list | tuple):
            if self._lists_examples(part, outermost):
                return type(part)([part[at] for at in self.order])
            return type(part)([self._part(each, outermost and len(part) == 1) for each in part])
        return self.other(part)

    def _lists_examples(self, part: list[Any] | tuple[Any, ...], outermost: bool) -> bool:
        """Whether a list has one entry for each example, and is not a few parts that have one each."""
        if len(part) != self.count or type(part) not in (list, tuple):
            return False
        if not any(isinstance(each, Mapping | list | tuple) or shim.is_array(each) for each in part):
            return True
        if not _alike(part):
            return False
        if not all(self._fits(each) for each in part):
            return True
        if outermost:  # (inputs, targets)
            return False
        raise WatchError(
            f"a batch of {self.count} examples has a {type(part).__name__} of {self.count} parts with {self.count} "
            "entries each: the batch could be either axis",
            hint="stack it to one array whose first axis is the batch, or name its parts in a map",
        )

    def _fits(self, part: Any) -> bool:
        if shim.is_array(part):
            return bool(part.shape) and part.shape[0] == self.count
        if isinstance(part, Mapping):
            return any(self._fits(each) for each in part.values())
        return isinstance(part, list | tuple) and len(part) == self.count


def check(found: Examples, wanted: Examples) -> None:
    """Raises WatchError unless `found` are `wanted`: what is said to be screened was screened."""
    if not _same(found, wanted):
        raise WatchError(
            f"a screened batch holds other examples than those that were to be left: {len(found)} of "
            f"{found.inputs.shape[1:]} where {len(wanted)} of {wanted.inputs.shape[1:]} should be",
            hint=f"{_HINT}; batch=..., if given, must read the same of an example whatever stands beside it",
        )


def _same(found: Examples, wanted: Examples) -> bool:
    if found.inputs.shape == wanted.inputs.shape:
        pairs = ((found.targets, wanted.targets), (found.mask, wanted.mask))
        return _equal(found.inputs, wanted.inputs) and all(_equal(mine, theirs) for mine, theirs in pairs)
    # A reader may pad to the longest row, which may be among those that are gone.
    if found.mask is None or wanted.mask is None or len(found) != len(wanted):
        return False
    return all(map(np.array_equal, _unpadded(found), _unpadded(wanted)))


def _equal(mine: NDArray[Any] | None, theirs: NDArray[Any] | None) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    return np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f")


def _unpadded(rows: Examples) -> list[NDArray[Any]]:
    assert rows.mask is not None
    return [row[mask] for row, mask in zip(rows.inputs, rows.mask, strict=True)]


def _alike(parts: list[Any] | tuple[Any, ...]) -> bool:
    return len({_make(part) for part in parts}) == 1


def _make(part: Any) -> tuple[Any, ...]:
    """What entries of one list have in common, however long each is."""
    if shim.is_array(part):
        return type(part), str(part.dtype), len(part.shape), tuple(part.shape[1:])
    return (type(part), tuple(part)) if isinstance(part, Mapping) else (type(part),)


def _of_kind(part: Any, made: dict[Any, Any]) -> Any:
    try:
        return type(part)(made)
    except TypeError:  # a defaultdict, say, is made of other things first
        held = copy.copy(part)
        held.update(made)
        return held
