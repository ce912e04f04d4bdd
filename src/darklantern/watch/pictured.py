"""Where in an image something stands, in few words: as a patch where it is a box, else a count and what holds it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NAMED = 4
"""places of an example whose axes are not known that are still named one by one"""


def placed(
    positions: Sequence[int], values: Sequence[float], shape: Sequence[int] = (), spatial: tuple[int, int] = (-2, -1)
) -> str:
    """`values` at `positions` of an example made flat: of an image of `shape`, whose rows and columns are `spatial`.

    "a 3x3 patch at rows 12-14, columns 12-14, all channels, value 3". Short also where the shape is no image's.
    """
    if len(shape) not in (2, 3) or not positions:
        if len(positions) <= NAMED:
            return ", ".join(f"{value:g} at {place}" for place, value in zip(positions, values, strict=True))
        return f"{len(positions)} fixed places from {min(positions)} to {max(positions)}, {_values(values)}"
    at = np.stack(np.unravel_index(np.asarray(positions), tuple(shape)))
    axes = [axis % len(shape) for axis in spatial]
    rows, columns = (np.unique(at[axis]) for axis in axes)
    others = [axis for axis in range(len(shape)) if axis not in axes]
    channels = [np.unique(at[axis]) for axis in others]
    said = [_range("row", rows), _range("column", columns)]
    for axis, held in zip(others, channels, strict=True):
        said.append("all channels" if len(held) == shape[axis] > 1 else _range("channel", held))
    where = ", ".join([*said, _values(values)])
    height, width = (int(held[-1] - held[0]) + 1 for held in (rows, columns))
    whole = len({*positions}) == height * width * int(np.prod([len(held) for held in channels]))
    return f"a {height}x{width} patch at {where}" if whole else f"{len(positions)} fixed places within {where}"


def rows_and_columns(shape: Sequence[int]) -> tuple[int, int]:
    """Which axes of an image are most likely its rows and columns, from the end: not a last one shorter than both."""
    return (-3, -2) if len(shape) == 3 and shape[-1] < min(shape[:-1]) else (-2, -1)


def _range(name: str, held: NDArray[np.intp]) -> str:
    first, last = int(held[0]), int(held[-1])
    return f"{name} {first}" if first == last else f"{name}s {first}-{last}"


def _values(values: Sequence[float]) -> str:
    low, high = f"{min(values):g}", f"{max(values):g}"
    return f"value {low}" if low == high else f"values {low} to {high}"
