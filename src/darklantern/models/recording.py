"""What a run yields: values at sites, with the names of their axes."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from darklantern.errors import SiteError
from darklantern.models.selecting import select
from darklantern.models.sites import Pin, Several, Site, Span, nearest, parse

if TYPE_CHECKING:
    from darklantern.models.picture import Picture

Axes = tuple[str, ...] | Callable[[Any], tuple[str, ...]]
"""the names of a value's axes, or what finds them"""


@dataclass(frozen=True, eq=False)
class Value:
    """One recorded value. `array` is the framework's own; `axes` names its axes in order."""

    site: Site
    array: Any
    axes: tuple[str, ...]
    tokens: Sequence[Sequence[str]] | None = None
    """the tokens of each example in it as text, where they are known"""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    def at(self, **pins: Pin) -> "Value":
        """A part of it, by axis: `value.at(head=2, pos=-1)`; `pos` counts an example's own tokens where they are known.

        Raises SiteError for an axis or an index not there.
        """
        # Pins count within this value, which may itself be a part of its site.
        asked = Site(self.site.path, "value", tuple(pins.items()))
        chosen = select(asked, self.axes, self.shape, self._lengths)
        pinned = Site(
            self.site.path, self.site.port, (*self.site.select, *asked.select), self.site.call, self.site.member
        )
        return Value(pinned, chosen.part(self.array), chosen.remaining, _examples(self.tokens, asked))

    def mean(self, *axes: str) -> "Value":
        """The mean over the named axes, which go away; over `pos`, of each example's own tokens where known."""
        return self._without(axes, "mean")

    def sum(self, *axes: str) -> "Value":
        """The sum over the named axes, which go away; over `pos`, of each example's own tokens where known."""
        return self._without(axes, "sum")

    def _without(self, axes: tuple[str, ...], how: str) -> "Value":
        missing = [axis for axis in axes if axis not in self.axes]
        if missing or not axes:
            raise SiteError(
                f"{self.site} has axes {' '.join(self.axes)}, got {' '.join(axes) or 'none'}", hint="name some"
            )
        if "pos" in axes and len(set(self._lengths or ())) > 1:
            array = self._over_own(axes, how)
        else:
            array = getattr(self.array, how)(tuple(self.axes.index(axis) for axis in axes))
        tokens = None if "batch" in axes else self.tokens
        return Value(self.site, array, tuple(axis for axis in self.axes if axis not in axes), tokens)

    @property
    def _lengths(self) -> tuple[int, ...] | None:
        """Each example's own tokens, where positions still count through all of them."""
        cut = any(axis == "pos" for axis, _ in self.site.select)
        if self.tokens is None or cut or not {"batch", "pos"} <= set(self.axes):
            return None
        return tuple(len(each) for each in self.tokens)

    def _over_own(self, axes: tuple[str, ...], how: str) -> Any:
        """The mean or sum over `axes`, `pos` among them, without padding."""
        each, lengths = [a for a in axes if a != "batch"], self._lengths or ()
        left = [axis for axis in self.axes if axis != "batch"]
        parts = [
            self.at(batch=number).array[self._upto(left, length)].sum(tuple(left.index(axis) for axis in each))
            for number, length in enumerate(lengths)
        ]
        others = math.prod(self.shape[self.axes.index(axis)] for axis in each if axis != "pos")
        if "batch" in axes:
            total = sum(parts)
            return total / (sum(lengths) * others) if how == "mean" else total
        if how == "mean":
            parts = [part / (length * others) for part, length in zip(parts, lengths, strict=True)]
        stack = sys.modules[type(self.array).__module__.partition(".")[0]].stack
        return stack(parts, [axis for axis in self.axes if axis not in each].index("batch"))

    @staticmethod
    def _upto(axes: Sequence[str], length: int) -> tuple[slice, ...]:
        return tuple(slice(0, length) if axis == "pos" else slice(None) for axis in axes)

    def show(self) -> "Picture":
        """It as a picture: a heat map, one for each head or channel; tokens beside it where they are known.

        Of several examples the first: `value.at(batch=3).show()` for another. Long axes are pooled, and the picture
        says so. Raises SiteError for an empty or a complex value.
        """
        from darklantern.models.looking import picture

        return picture(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy as np

        held = self.array
        if hasattr(held, "detach"):
            held = held.detach().cpu()
            held = held.float() if "bfloat16" in str(held.dtype) else held
        return np.array(held, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        named = " ".join(f"{axis}={size}" for axis, size in zip(self.axes, self.shape, strict=True))
        return f"Value({self.site}, {named or 'scalar'}, {_dtype(self.array)}, norm {_norm(self.array):.4g})"


class Recording(Mapping[str, Value]):
    """Values captured at sites in one run, under the names they resolved to, in the order they were asked for.

    `recording["layers.3.attn:pattern[head=4]"]` also works where the whole pattern was recorded.
    """

    def __init__(
        self, rows: Sequence[tuple[Site, Any, Axes]], output: Any, tokens: Sequence[Sequence[str]] | None = None
    ) -> None:
        self._rows = rows
        self.output = output
        """what the model returned; None after an early stop"""
        self.tokens = tokens
        """each example's tokens as text, where the model was given a Batch"""

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """Each example's length without padding, where that is known."""
        return None if self.tokens is None else tuple(len(each) for each in self.tokens)

    @cached_property
    def _values(self) -> dict[Site, Value]:
        # Made when first looked at: a run that records much should cost little more than its copies.
        return {
            site: Value(site, array, axes if isinstance(axes, tuple) else axes(array), _examples(self.tokens, site))
            for site, array, axes in self._rows
        }

    def __getitem__(self, site: str | Site) -> Value:
        asked = parse(site) if isinstance(site, str) else site
        if asked in self._values:
            return self._values[asked]
        if asked.select and asked.whole in self._values:
            held = self._values[asked.whole]
            chosen = select(asked, held.axes, held.shape, self.lengths)
            return Value(asked, chosen.part(held.array), chosen.remaining, _examples(self.tokens, asked))
        names = [str(known) for known in self._values]
        close = nearest(str(asked), names) or names
        raise SiteError(f"{str(asked)!r} was not recorded", hint=f"recorded: {', '.join(close) or 'nothing'}")

    def __contains__(self, site: object) -> bool:
        asked = parse(site) if isinstance(site, str) else site
        return isinstance(asked, Site) and (asked in self._values or asked.whole in self._values)

    def __iter__(self) -> Iterator[str]:
        return (str(site) for site, _, _ in self._rows)

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
                _dtype(value.array),
                f"{_norm(value.array):.4g}",
            )
            for value in self._values.values()
        ]

    def show(self, *sites: str | Site) -> "Picture":
        """The values at `sites`, or the first dozen of all, as pictures one below the other; see `Value.show`."""
        from darklantern.models.looking import pictures

        return pictures(self, sites)

    def _repr_html_(self) -> str:
        from darklantern.models.tables import table

        return table(("site", "axes", "dtype", "norm"), self.rows())

    def __repr__(self) -> str:
        table = [("site", "axes", "dtype", "norm"), *self.rows()]
        widths = [max(len(row[i]) for row in table) for i in range(3)]
        return "\n".join(
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in table
        )


def picked(items: Sequence[Any], pin: Pin) -> list[Any]:
    """What `pin` selects of `items`, always as a list."""
    if isinstance(pin, Span):
        return list(items[pin.start : pin.stop])
    if isinstance(pin, str):
        return list(items)
    return [
        items[index] for index in (pin if isinstance(pin, Several) else (pin,)) if -len(items) <= index < len(items)
    ]


def _examples(tokens: Sequence[Sequence[str]] | None, site: Site) -> Sequence[Sequence[str]] | None:
    """The tokens of those examples that `site` selects."""
    pin = dict(site.select).get("batch", "*")
    return tokens if tokens is None else picked(tokens, pin)


def _dtype(array: Any) -> str:
    return str(array.dtype).removeprefix("torch.")


def _norm(array: Any) -> float:
    """The Euclidean norm over everything but −inf, by which a mask forbids; NaN and infinity show as they are."""
    held = array.detach() if hasattr(array, "detach") else array
    held = abs(held) if "complex" in str(held.dtype) else held  # float() would drop the imaginary part
    held = held.float() if hasattr(held, "float") else held
    held = held[held != -math.inf]
    return float((held * held).sum()) ** 0.5
