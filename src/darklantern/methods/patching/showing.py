"""A sweep as a picture: which sites are rows of one field, what their rows and columns are called."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing import Axis, Field, fields
from darklantern.methods.patching.sweeps import Sweep
from darklantern.models.picture import Picture
from darklantern.models.sites import Site

_ACROSS = 256
"""columns that can be told apart"""
_TOLD = 4
"""differing tokens that a note quotes"""
Cells = NDArray[np.float64]
Kinds = dict[Site, dict[int, int]]
"""for each kind of site, such as `layers.*:out`, the row of each layer"""


def picture(found: Sweep) -> Picture:
    """Fields of layers × indices, one for each kind of site; or one field of sites × indices where kinds differ."""
    cells, factor = _pooled(found.array)
    kinds = kinds_of(found.sites)
    common = {kind.whole for kind in kinds}
    title = "Patched one at a time" + (f": {_common(kinds)}" if len(common) == 1 else "")
    shown, rows, columns = _arranged(found, cells, factor, kinds)
    notes = [f"Share of the effect that one patch restores: {found.scale}."]
    if differing := _differing(found):
        more = f" and {len(differing) - _TOLD} more" * (len(differing) > _TOLD)
        notes.append(f"Where the runs differ, clean/corrupt: {', '.join(differing[:_TOLD])}{more}.")
    if factor > 1:
        notes.append(f"Each cell is the strongest of {factor} along {found.axis}.")
    svg = fields(shown, rows, columns, title=title, says=found.says, notes=notes)
    return Picture(svg, title, " ".join([f"{found.says}.", *notes]))


def _arranged(found: Sweep, cells: Cells, factor: int, kinds: Kinds) -> tuple[list[Field], Axis, Axis]:
    if not found.axis:  # one number a site
        if not kinds:
            return [Field("", cells.tolist())], _sites(found.sites), Axis("", (0,), ("whole",))
        rows = _sites(list(kinds)) if len(kinds) > 1 else Axis("", (0,))
        values = [[float(cells[row, 0]) for row in kind.values()] for kind in kinds.values()]
        return [Field("", values)], rows, Axis("layer", list(next(iter(kinds.values()))))
    columns = Axis(found.axis, found.indices[::factor], found.texts if factor == 1 else ())
    if not kinds:
        return [Field("", cells.tolist())], _sites(found.sites), columns
    same = len({kind.whole for kind in kinds}) == 1
    shown = [
        Field(_pins(kind) if same else str(kind), [cells[row].tolist() for row in rows.values()])
        for kind, rows in kinds.items()
    ]
    return shown, Axis("layer", list(next(iter(kinds.values())))), columns


def _sites(sites: Sequence[Site]) -> Axis:
    return Axis("site", range(len(sites)), tuple(map(str, sites)))


def kinds_of(sites: Sequence[Site]) -> Kinds:
    """Sites by kind and layer. Empty unless all are parts of layers, and each kind is there in the same ones."""
    kinds: Kinds = {}
    for row, site in enumerate(sites):
        parts = site.path.split(".")
        place = next((place for place, part in enumerate(parts) if place and part.isdigit()), None)
        if place is None:
            return {}
        kind = replace(site, path=".".join([*parts[:place], "*", *parts[place + 1 :]]))
        kinds.setdefault(kind, {})[int(parts[place])] = row
    layers = [list(kind) for kind in kinds.values()]
    whole = sum(map(len, layers)) == len(sites)  # no site stands there twice
    return kinds if whole and all(each == layers[0] for each in layers) else {}


def _common(kinds: Kinds) -> Site:
    """The kind, where there is one; else what all of them share."""
    first = next(iter(kinds))
    return first if len(kinds) == 1 else first.whole


def _differing(found: Sweep) -> list[str]:
    places = zip(found.texts, found.tokens, found.indices, strict=bool(found.tokens))
    return [f"{text} at {index}" for text, (mine, theirs), index in places if mine != theirs]


def _pins(kind: Site) -> str:
    return ", ".join(f"{axis} {pin}" for axis, pin in kind.select)


def _pooled(cells: Cells) -> tuple[Cells, int]:
    """The strongest of each few columns, few enough to be told apart; and how few."""
    factor = -(-cells.shape[1] // _ACROSS)
    if factor == 1:
        return cells, 1
    starts = range(0, cells.shape[1], factor)
    low, high = np.minimum.reduceat(cells, starts, 1), np.maximum.reduceat(cells, starts, 1)
    return np.where(high >= -low, high, low), factor
