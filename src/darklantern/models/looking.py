"""How a value becomes a picture: which axes are rows, columns and fields, what is pooled, which tokens stand where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing import Axis, Field, Svg, fields
from darklantern.drawing.fields import MOST_FIELDS, TOLD
from darklantern.drawing.frame import stacked
from darklantern.drawing.scales import number
from darklantern.errors import SiteError
from darklantern.models.composing import picked
from darklantern.models.counting import counts_tokens
from darklantern.models.picture import Picture
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import Several, Site, Span

MOST_VALUES = 12
"""in the picture of a whole recording"""
_CELLS = 16_384
_ALL_CELLS = 30_000
"""of the picture of a whole recording"""
_ACROSS = 256
_SQUARE = 128
"""cells a side, where rows and columns count the same"""
_STRIP = 128
_SIDES = ("head", "channel", "expert")
"""axes whose parts stand side by side"""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Along:
    """One axis of what is drawn."""

    name: str
    numbers: Sequence[int]
    tokens: Sequence[str] = ()

    def pooled(self, factor: int) -> Axis:
        return Axis(self.name, self.numbers[::factor], self.tokens if factor == 1 else ())


def picture(value: Value) -> Picture:
    """One value as a picture of its own."""
    svg, says = _drawn(value, _CELLS, TOLD)
    return Picture(svg, str(value.site), says)


def pictures(recording: Recording, sites: Sequence[str | Site]) -> Picture:
    """Several values, one below the other; those of `sites`, or all, as far as one picture can hold them."""
    chosen = [recording[site] for site in sites] if sites else list(recording.values())
    if not chosen:
        raise SiteError("this recording holds no values", hint="record some sites")
    if len(chosen) == 1:
        return picture(chosen[0])
    shown = chosen[:MOST_VALUES]
    parts = [_drawn(value, min(_CELLS, _ALL_CELLS // len(shown)), TOLD // len(shown)) for value in shown]
    left_out = len(chosen) - len(shown)
    says = f"{len(shown)} values" + (f"; {left_out} more: name the sites that show() shall draw" if left_out else "")
    return Picture(stacked([svg for svg, _ in parts], says), f"{shown[0].site} and others", says)


def _drawn(value: Value, budget: int, told: int) -> tuple[Svg, str]:
    # 1. One example, and of other axes as many as a picture has.
    notes: list[str] = []
    cube, (side, down, across) = _arranged(value, notes)
    square = (down.name, across.name) in (("pos", "key"), ("height", "width"))
    finite = cube[np.isfinite(cube)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    says = f"{_sizes([each.name for each in (side, down, across)], cube.shape)}, from {number(low)} to {number(high)}"

    # 2. Few enough cells, the strongest of each pool.
    strip = cube.shape[:2] == (1, 1)
    high_factor, wide_factor = _factors(cube.shape, budget, square, budget if strip else _ACROSS)
    cells = _pooled(cube, high_factor, wide_factor)
    pool = " × ".join(
        f"{factor} {axis.name}" for factor, axis in ((high_factor, down), (wide_factor, across)) if factor > 1
    )
    if pool:
        notes.append(f"Each cell is the strongest of {pool}.")

    # 3. Colours end where all but the rare outliers do, unless those are the point, as in a pattern.
    limit = None if across.name == "key" else _limit(cells)
    if limit is not None:
        notes.append(f"Colours end at ±{number(limit)}: one value in a hundred is stronger, some far stronger.")
    names = [f"{side.name} {index}" if side.name else "" for index in side.numbers]
    shown = [Field(name, field.tolist()) for name, field in zip(names, cells, strict=True)]
    rows, columns = down.pooled(high_factor), across.pooled(wide_factor)
    if strip and len(columns.numbers) > _STRIP:
        shown, rows, columns = _wrapped(shown[0], columns, wide_factor)
    title = str(value.site)
    svg = fields(shown, rows, columns, title=title, says=says, notes=notes, limit=limit, square=square, told=told)
    return svg, " ".join([f"{says}.", *notes])


def _arranged(value: Value, notes: list[str]) -> tuple[Array, tuple[_Along, _Along, _Along]]:
    """The value as fields × rows × columns, and what those are."""
    array, axes = np.asarray(value), list(value.axes)
    tokens: Sequence[str] = ()
    if value.tokens and ("batch" not in axes or array.shape[axes.index("batch")] == len(value.tokens)):
        tokens = value.tokens[0]
    if not array.size:
        raise SiteError(f"{value.site} is empty: {_sizes(axes, array.shape)}", hint="record another part of it")
    if np.iscomplexobj(array):
        raise SiteError(f"{value.site} is complex, which has no one colour", hint="draw abs(value.array) yourself")
    if len(axes) > 1:
        array, axes = _one(array, axes, [axis for axis in axes if axis == "batch"], notes)
    plane = _plane(axes)
    side = next((axis for axis in (*_SIDES, *axes) if axis in axes and axis not in plane), "")
    array, axes = _one(array, axes, [axis for axis in axes if axis not in (side, *plane)], notes)
    array = array.astype(np.float64)
    along: dict[str, _Along] = {"": _Along("", (0,))}
    for place, axis in enumerate(axes):
        size = array.shape[place]
        pinned = any(name == axis for name, _ in value.site.select)
        # Positions of another number than the batch has are not its tokens': a decoder's, say.
        along[axis] = _along(value.site, axis, size, tokens if pinned or value.width in (None, size) else ())
        kept = len(along[axis].numbers)
        if kept < size:
            padding = f"The last {size - kept} of {size} positions are padding, left out."
            notes += [padding] if padding not in notes else []
        if axis == side and kept > MOST_FIELDS:
            notes.append(f"The first {MOST_FIELDS} of {size}: .at({side}=…) chooses others.")
            kept = MOST_FIELDS
            along[axis] = _Along(axis, along[axis].numbers[:kept])
        array = np.take(array, range(kept), place)
    array = array.transpose([axes.index(axis) for axis in (side, *plane) if axis])
    chosen = (along[side], along[plane[0]], along[plane[1]])
    return array.reshape([len(each.numbers) for each in chosen]), chosen


def _one(array: Array, axes: list[str], gone: Sequence[str], notes: list[str]) -> tuple[Array, list[str]]:
    """The first of each axis in `gone`, and a note that there are more."""
    for axis in gone:
        size = array.shape[axes.index(axis)]
        if size > 1:
            named = "Example" if axis == "batch" else axis.capitalize()
            notes.append(f"{named} 0 of {size}: .at({axis}=…) chooses another.")
        array = np.take(array, 0, axes.index(axis))
        axes = [each for each in axes if each != axis]
    return array, axes


def _plane(axes: Sequence[str]) -> tuple[str, str]:
    """Which axis goes down and which across."""
    if "key" in axes:
        return ("pos" if "pos" in axes else next((axis for axis in axes if axis != "key"), "")), "key"
    if "width" in axes:
        return ("height" if "height" in axes else ""), "width"
    if len(axes) < 2:
        return "", (axes[0] if axes else "")
    if "pos" in axes:
        return "pos", next(axis for axis in reversed(axes) if axis != "pos")
    return axes[-2], axes[-1]


def _along(site: Site, axis: str, size: int, tokens: Sequence[str]) -> _Along:
    """What `axis` counts, after the selections of `site`: tokens where they are known, and then without padding."""
    pins = [pin for name, pin in site.select if name == axis]
    if tokens and counts_tokens(site, axis):
        places = list(range(len(tokens)))
        for pin in pins:
            places = picked(places, pin)
        if len(places) >= size if pins else len(places) <= size:
            return _Along(axis, places[:size], [tokens[place] for place in places[:size]])
    numbers: Sequence[int] = range(size)
    for pin in reversed(pins):  # from what is left to indices of the whole, negative ones from its end
        if isinstance(pin, Several):
            numbers = [pin[number] for number in numbers]
        elif isinstance(pin, Span):
            numbers = [number + ((pin.start if number >= 0 else pin.stop) or 0) for number in numbers]
    return _Along(axis, numbers)


def _wrapped(field: Field, columns: Axis, factor: int) -> tuple[list[Field], Axis, Axis]:
    """A long vector as lines of `_STRIP` cells, like text."""
    (values,) = field.values
    lines = [values[start : start + _STRIP] for start in range(0, len(values), _STRIP)]
    rows = Axis(columns.name, columns.numbers[::_STRIP])
    return [Field(field.name, lines)], rows, Axis("plus", range(0, _STRIP * factor, factor))


def _factors(shape: tuple[int, ...], budget: int, square: bool, widest: int) -> tuple[int, int]:
    """How many rows and columns make a cell."""
    count, rows, columns = shape
    most = (_SQUARE, _SQUARE if square or count > 1 else widest)
    down = across = 1
    while True:
        cells = -(-rows // down), -(-columns // across)
        if count * cells[0] * cells[1] <= budget and cells[0] <= most[0] and cells[1] <= most[1]:
            return down, across
        if square:
            down, across = down + 1, across + 1
        elif cells[1] / most[1] >= cells[0] / most[0]:
            across += 1
        else:
            down += 1


def _pooled(cube: Array, down: int, across: int) -> Array:
    """The strongest of each block; masked where all of it is, NaN or ∞ where any of it is."""
    if down == across == 1:
        return cube
    masked, odd = cube == -np.inf, np.isnan(cube) | (cube == np.inf)
    plain = np.where(masked | odd, 0.0, cube)

    def blocks(how: Any, of: Any) -> Any:
        columns = how.reduceat(of, range(0, cube.shape[2], across), 2)
        return how.reduceat(columns, range(0, cube.shape[1], down), 1)

    low, high = blocks(np.minimum, plain), blocks(np.maximum, plain)
    made = np.where(high >= -low, high, low)
    made = np.where(blocks(np.logical_and, masked), -np.inf, made)
    return np.where(blocks(np.logical_or, odd), np.nan, made)


def _limit(cells: Array) -> float | None:
    """Where colours end, if a few values would leave all others pale."""
    sizes = np.abs(cells[np.isfinite(cells)])
    if sizes.size < 200:
        return None
    usual = float(np.quantile(sizes, 0.99))
    return usual if 0 < 3 * usual < sizes.max() else None


def _sizes(axes: Sequence[str], shape: Sequence[int]) -> str:
    return " ".join(f"{axis}={size}" for axis, size in zip(axes, shape, strict=True) if axis) or "one number"
