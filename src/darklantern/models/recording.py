"""What a run yields: values at sites, with the names of their axes."""

import math
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

from darklantern.errors import SiteError
from darklantern.models import averaging
from darklantern.models.arithmetic import Arithmetic
from darklantern.models.composing import composed, picked
from darklantern.models.counting import own_lengths
from darklantern.models.dtypes import dtype_name, is_complex
from darklantern.models.lookup import Names
from darklantern.models.selecting import select
from darklantern.models.shim import backend_of, convert, framework_of, is_traced, namespace, numbers
from darklantern.models.sites import Site, parse, pin

if TYPE_CHECKING:
    from darklantern.models.picture import Picture

Axes = tuple[str, ...] | Callable[[Any], tuple[str, ...]]
"""the names of a value's axes, or what finds them"""


@dataclass(frozen=True, eq=False, repr=False)
class Value(Arithmetic):
    """One recorded value. `array` is the framework's own; `axes` names its axes in order.

    Values add, multiply and so on by the names of their axes: `a - b`, `gradient * value`.
    """

    site: Site
    array: Any
    axes: tuple[str, ...]
    tokens: Sequence[Sequence[str]] | None = None
    """the tokens of each example in it as text, where they are known"""
    width: int | None = None
    """how many positions the batch has that the tokens are of, with padding; None for as many as the longest"""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def lengths(self) -> Sequence[int] | None:
        """Each example's own positions, where `pos` counts through all the tokens it was given; else None."""
        return self.own_lengths("pos")

    def own_lengths(self, axis: str) -> Sequence[int] | None:
        """As `lengths`, along `pos` or `key`."""
        if not self.tokens or axis in self._cut:
            return None
        own = [len(each) for each in self.tokens]
        return own_lengths(self.site, axis, self.axes, self.shape, own, self.width or max(own))

    def at(self, **pins: Any) -> "Value":
        """A part of it, by axis: `value.at(head=2, pos=-1)`; `pos` counts an example's own tokens where they are known.

        Takes what `Site.at` takes. Raises SiteError for an axis or an index not there.
        """
        given = {axis: pin(axis, each) for axis, each in pins.items()}
        # Pins count within this value, which may itself be a part of its site.
        asked = replace(self.site, select=tuple(given.items()))
        own = None if self.tokens is None else [len(each) for each in self.tokens]
        chosen = select(asked, self.axes, self.shape, own, width=self.width, cut=self._cut, some=True)
        site = replace(self.site, select=composed(self.site, given, dict(zip(self.axes, self.shape, strict=True))))
        return Value(site, chosen.part(self.array), chosen.remaining, _examples(self.tokens, asked), self.width)

    def mean(self, *axes: str) -> "Value":
        """The mean over the named axes, which go away; over `pos`, of each example's own tokens where known."""
        return self._without(axes, "mean")

    def sum(self, *axes: str) -> "Value":
        """The sum over the named axes, which go away; over `pos`, of each example's own tokens where known."""
        return self._without(axes, "sum")

    def _without(self, axes: tuple[str, ...], how: str) -> "Value":
        array, left = averaging.without(self, axes, how)
        tokens = None if "batch" in axes else self.tokens
        return Value(self.site, array, left, tokens, self.width)

    @property
    def _cut(self) -> tuple[str, ...]:
        """The axes of which it is a part already."""
        return tuple(axis for axis, at in self.site.select if at != "*")

    def to(self, framework: str, copy: bool = True) -> "Value":
        """The same value in an array of `framework`: torch, jax or numpy; see `shim.convert` for what it keeps.

        With `copy=False` it may share memory with this one. Raises SiteError for numbers that are not to be had there.
        """
        return replace(self, array=convert(self.array, framework, copy))

    def show(self) -> "Picture":
        """It as a picture: a heat map, one for each head or channel; tokens beside it where they are known.

        Of several examples the first: `value.at(batch=3).show()` for another. Long axes are pooled, and the picture
        says so. Raises SiteError for an empty or a complex value.
        """
        from darklantern.models.looking import picture

        return picture(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy as np

        return np.array(numbers(self.array), dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        named = " ".join(f"{axis}={size}" for axis, size in zip(self.axes, self.shape, strict=True))
        size = "traced" if is_traced(self.array) else f"norm {_norm(self)}"
        return f"Value({self.site}, {named or 'scalar'}, {dtype_name(self.array)}, {size})"

    def __getitem__(self, index: Any) -> Any:
        raise SiteError(
            f"a value goes by the names of its axes, got [{index!r}]",
            hint=f"value.at({(self.axes or ('pos',))[0]}=0), or value.array[...], which is the tensor",
        )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a Value has no {name!r}; its tensor is value.array, which may")


class Recording(Mapping[str, Value]):
    """Values captured at sites in one run, under the names they resolved to, in the order they were asked for.

    `recording["layers.3.attn:pattern[head=4]"]` also works where the whole pattern was recorded.
    """

    def __init__(
        self,
        rows: Sequence[tuple[Site, Any, Axes]],
        output: Any,
        tokens: Sequence[Sequence[str]] | None = None,
        missed: Mapping[Site, str] | None = None,
    ) -> None:
        self._rows = rows
        self.output = output
        """what the model returned; None after an early stop"""
        self.tokens = tokens
        """each example's tokens as text, where the model was given a Batch"""
        self.missed = missed or {}
        """sites that `**` found and that had nothing to record, each with why"""

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """Each example's length without padding, where that is known."""
        return None if self.tokens is None else tuple(len(each) for each in self.tokens)

    @cached_property
    def _width(self) -> int | None:
        return max(self.lengths) if self.lengths else None

    @cached_property
    def _values(self) -> dict[Site, Value]:
        # Made when first looked at: a run that records much should cost little more than its copies.
        named = ((site, array, axes if isinstance(axes, tuple) else axes(array)) for site, array, axes in self._rows)
        # Of pieces on devices nothing says which examples each device has.
        return {
            site: Value(site, array, axes, None if _is_piece(site, axes) else _examples(self.tokens, site), self._width)
            for site, array, axes in named
        }

    @cached_property
    def _names(self) -> Names:
        return Names(self._values)

    def __getitem__(self, site: str | Site) -> Value:
        return self._names.part(site)

    def __contains__(self, site: object) -> bool:
        return isinstance(site, str | Site) and self._names.has(site)

    # By identity: Mapping would compare the values, which have no one answer.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return object.__hash__(self)

    def stack(self, site: str | Site) -> Value:
        """The values that a glob names, one on the other along a first axis `layer`, in the order they were recorded.

        `recording.stack("layers.*:out[pos=-1]")`. Raises SiteError where none was recorded, or shapes differ.
        """
        from darklantern.models.stacking import stacked

        return stacked(self, site if isinstance(site, Site) else parse(site))

    def to(self, framework: str, copy: bool = True) -> "Recording":
        """The same values in arrays of `framework`, as `Value.to` has them; `output` stays what the model returned."""
        rows = [(value.site, value.to(framework, copy).array, value.axes) for value in self.values()]
        return Recording(rows, self.output, self.tokens, self.missed)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write it to a new folder, as `record(..., to=folder)` does, for `load_recording`. Its output is not in it.

        Raises SiteError for a folder that is not empty.
        """
        from darklantern.models import at_rest

        at_rest.save(self, folder)

    def __iter__(self) -> Iterator[str]:
        return (str(site) for site, _, _ in self._rows)

    def values(self) -> ValuesView[Value]:
        # Not looked up by their texts one by one, as a mapping's are.
        return {str(site): value for site, value in self._values.items()}.values()

    def items(self) -> ItemsView[str, Value]:
        return {str(site): value for site, value in self._values.items()}.items()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(site for site, _, _ in self._rows)

    @property
    def nbytes(self) -> int:
        """Bytes that the recorded values take, wherever they lie."""
        return sum(array.nbytes for _, array, _ in self._rows)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Site, axes with sizes, dtype and norm of each value: what the table shows."""
        return [
            (
                str(value.site),
                " ".join(f"{axis}={size}" for axis, size in zip(value.axes, value.shape, strict=True)),
                dtype_name(value.array),
                _norm(value),
            )
            for value in self._values.values()
        ]

    def show(self, *sites: str | Site) -> "Picture":
        """The values at `sites`, or the first dozen of all, as pictures one below the other; see `Value.show`."""
        from darklantern.models.looking import pictures

        return pictures(self, sites)

    def _repr_html_(self) -> str:
        from darklantern.models.tables import table

        if not self._rows:
            return table((repr(self),), ())
        return table(("site", "axes", "dtype", "norm"), self.rows())

    def __repr__(self) -> str:
        if not self._rows:
            held = f"; .output has what the model returned, a {type(self.output).__name__}"
            return "nothing was recorded" + (held if self.output is not None else "")
        table = [("site", "axes", "dtype", "norm"), *self.rows()]
        widths = [max(len(row[i]) for row in table) for i in range(3)]
        lines = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in table
        ]
        return "\n".join([*lines, *([f"not recorded, see .missed: {len(self.missed)} sites"] if self.missed else [])])


def _examples(tokens: Sequence[Sequence[str]] | None, site: Site) -> Sequence[Sequence[str]] | None:
    """The tokens of those examples that `site` selects."""
    return tokens if tokens is None else picked(tokens, dict(site.select).get("batch", "*"))


def _is_piece(site: Site, axes: tuple[str, ...]) -> bool:
    return "device" in axes or any(axis == "device" for axis, _ in site.select)


def _norm(value: Value) -> str:
    """The Euclidean norm over everything but padding and −inf, by which a mask forbids; NaN and infinity show."""
    if is_traced(value.array):
        return "traced"
    return f"{sum(_squares(part) for part in averaging.own_parts(value)) ** 0.5:.4g}"


def _squares(array: Any) -> float:
    xp, of_numpy = namespace(array), framework_of(array) == "numpy"
    held = array if of_numpy else backend_of(array).stop_gradient(array)
    held = abs(held) if is_complex(held) else held  # as real numbers they would have no imaginary part
    held = xp.astype(held, xp.float64 if of_numpy else xp.float32)
    held = held[held != -math.inf]
    return float((held * held).sum())
