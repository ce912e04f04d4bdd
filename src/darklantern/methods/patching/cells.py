"""Numbers for cells: values by site, whose axes count the cells of that site. Ranked, named and tabled."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from darklantern.models.recording import Value
from darklantern.models.sites import Site
from darklantern.records.findings import Grid

Values = Sequence[Value]
"""one for each site, as NumPy in float64"""


def flat(values: Values) -> NDArray[np.float64]:
    """All numbers, site by site."""
    return np.concatenate([np.ravel(value.array) for value in values])


def cell(values: Values, place: int) -> Site:
    """What `flat(values)[place]` is the number of."""
    for value in values:
        size = math.prod(value.shape)
        if place < size:
            index = map(int, np.unravel_index(place, value.shape))
            return value.site.at(**dict(zip(value.axes, index, strict=True)))
        place -= size
    raise IndexError(place)


def ranked(values: Values, by: Callable[[float], float], most: int | None) -> list[tuple[Site, float]]:
    """Cells with their numbers, highest `by` first; only the first `most` are named, which takes longest."""
    numbers = flat(values)
    keys = np.fromiter((by(each) for each in numbers.tolist()), np.float64, len(numbers))
    order = np.argsort(-keys, kind="stable")[:most]
    return [(cell(values, int(place)), float(numbers[place])) for place in order]


def is_table(values: Values) -> bool:
    """Whether all sites have the same one axis."""
    return len({(value.axes, value.shape) for value in values}) == 1 and len(values[0].axes) == 1


def grids(values: Values, name: str) -> tuple[Grid, ...]:
    """The one table that they make; none where sites differ in their axes or have several."""
    if not is_table(values) and any(value.axes for value in values):
        return ()
    axis = values[0].axes[0] if values[0].axes else ""
    return (
        Grid(
            name=f"{name}, by {axis}" if axis else name,
            unit="of the metric",
            rows=tuple(str(value.site) for value in values),
            columns=tuple(map(str, range(values[0].shape[0]))) if axis else ("whole",),
            values=tuple(tuple(np.ravel(value.array).tolist()) for value in values),
        ),
    )
