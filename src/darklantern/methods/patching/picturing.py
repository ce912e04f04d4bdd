"""Numbers for cells as a picture: bars for a few, else fields of layers or sites by one axis, or of two axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing import Axis, Bar, Field, Svg, bars, fields
from darklantern.drawing.fields import MOST_CELLS
from darklantern.methods.patching.cells import Values, cell, flat, is_table
from darklantern.methods.patching.showing import kinds_of
from darklantern.models.sites import Site

_FEW = 12
"""cells that are bars"""
_MANY = 24
"""bars, where cells do not make one table"""
_ACROSS = 256
"""columns that can be told apart"""
_SITES = 12
"""fields of two axes"""


@dataclass(frozen=True)
class Words:
    """What stands around the numbers."""

    title: str
    says: str
    note: str
    """what they are measured from"""
    texts: tuple[str, ...] = ()
    """the token at each position"""


def drawn(values: Values, words: Words, spreads: NDArray[np.float64] | None = None) -> Svg:
    """A few as bars, more as fields; the strongest as bars where sites have three axes or more, or different ones."""
    if len(flat(values)) > _FEW:
        if is_table(values):
            return _fields(values, words)
        if len({(value.axes, value.shape) for value in values}) == 1 and len(values[0].axes) == 2:
            return _planes(values, words)
    return _bars(values, words, spreads)


def _bars(values: Values, words: Words, spreads: NDArray[np.float64] | None) -> Svg:
    numbers = flat(values)
    order = np.argsort(-np.abs(numbers), kind="stable")[:_MANY].tolist()
    items = []
    for place in order:
        value = float(numbers[place])
        off = None if spreads is None else float(spreads[place])
        interval = None if off is None else (value - off, value + off)
        items.append(Bar(label=_told(cell(values, place), words.texts), value=value, interval=interval))
    more = "" if len(items) == len(numbers) else f" The strongest {len(items)} of {len(numbers):,}."
    return bars(items, title=words.title, note=words.note + more)


def _fields(values: Values, words: Words) -> Svg:
    axis, count = values[0].axes[0], values[0].shape[0]
    factor = _factor(count, max(1, min(_ACROSS, MOST_CELLS // len(values))))
    cells, columns = _pooled(np.stack([value.array for value in values]), factor), _axis(axis, count, factor, words)
    notes = [words.note] + [f"Each cell is the strongest of {factor} along {axis}."] * (factor > 1)
    kinds, title = kinds_of([value.site for value in values]), words.title
    if kinds:
        rows = Axis("layer", list(next(iter(kinds.values()))))
        shown = [Field(str(kind), [cells[row].tolist() for row in layers.values()]) for kind, layers in kinds.items()]
        title += f": {shown[0].name}" * (len(shown) == 1)
    else:
        rows = Axis("site", range(len(values)), tuple(str(value.site) for value in values))
        shown = [Field("", cells.tolist())]
    return fields(shown, rows, columns, title=title, says=words.says, notes=notes)


def _planes(values: Values, words: Words) -> Svg:
    """A field for each site, of the first few if there are many."""
    chosen = values[:_SITES]
    (down, across), (height, width) = chosen[0].axes, chosen[0].shape
    most = math.isqrt(MOST_CELLS // len(chosen))
    by, along = _factor(height, most), _factor(width, most)
    cells = [_pooled(_pooled(value.array, along).T, by).T for value in chosen]
    shown = [Field(str(value.site), pooled.tolist()) for value, pooled in zip(chosen, cells, strict=True)]
    rows, columns = _axis(down, height, by, words), _axis(across, width, along, words)
    notes = [words.note]
    notes += [f"Each cell is the strongest of {by} × {along}."] * (by * along > 1)
    notes += [f"The first {_SITES} of {len(values)} sites."] * (len(values) > _SITES)
    title = words.title + f": {shown[0].name}" * (len(shown) == 1)
    square = {down, across} == {"height", "width"}
    return fields(shown, rows, columns, title=title, says=words.says, notes=notes, square=square)


def _axis(name: str, count: int, factor: int, words: Words) -> Axis:
    named = name == "pos" and len(words.texts) == count and factor == 1
    return Axis(name, range(0, count, factor), words.texts if named else ())


def _factor(count: int, most: int) -> int:
    return -(-count // most)


def _pooled(cells: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """The strongest of each `factor` columns."""
    starts = range(0, cells.shape[1], factor)
    low, high = np.minimum.reduceat(cells, starts, 1), np.maximum.reduceat(cells, starts, 1)
    return np.where(high >= -low, high, low)


def _told(site: Site, texts: Sequence[str]) -> str:
    pos = dict(site.select).get("pos")
    named = isinstance(pos, int) and -len(texts) <= pos < len(texts)
    return f"{site} {texts[pos]}" if named and isinstance(pos, int) else str(site)
