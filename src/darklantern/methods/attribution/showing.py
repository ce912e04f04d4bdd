"""An attribution as a picture: bars for a few scores, else fields of layers or sites by one axis."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing import Axis, Bar, Field, Svg, bars, fields
from darklantern.methods.attribution.attributions import Attribution
from darklantern.methods.patching.showing import kinds_of
from darklantern.models.picture import Picture
from darklantern.models.recording import Value
from darklantern.models.sites import Site

_FEW = 12
"""scores that are bars"""
_MANY = 24
"""bars, where scores do not make one table"""
_ACROSS = 256
"""columns that can be told apart"""


def picture(found: Attribution) -> Picture:
    """Bars of all, or fields; bars of the strongest where sites keep several axes, or different ones."""
    title = "What each adds to the metric"
    means = found.means()
    table = len({(score.axes, score.shape) for score in means}) == 1 and len(means[0].axes) == 1
    svg = _fields(found, means, title) if table and len(found.flat) > _FEW else _bars(found, title)
    return Picture(svg, title, f"{found.says}. {_baseline(found)}")


def _bars(found: Attribution, title: str) -> Svg:
    items = found.ranked(abs, _MANY)
    more = "" if len(items) == len(found.flat) else f" The strongest {len(items)} of {len(found.flat):,}."
    return bars(
        [Bar(label=_told(site, found.texts), value=score) for site, score in items],
        title=title,
        note=_baseline(found) + more,
    )


def _fields(found: Attribution, means: Sequence[Value], title: str) -> Svg:
    axis = means[0].axes[0]
    cells, factor = _pooled(np.stack([score.array for score in means]))
    count = means[0].shape[0]
    texts = found.texts if axis == "pos" and len(found.texts) == count and factor == 1 else ()
    columns = Axis(axis, range(0, count, factor), texts)
    kinds = kinds_of([score.site for score in means])
    notes = [f"{found.name}. {_baseline(found)}"]
    if factor > 1:
        notes.append(f"Each cell is the strongest of {factor} along {axis}.")
    if kinds:
        rows = Axis("layer", list(next(iter(kinds.values()))))
        shown = [Field(str(kind), [cells[row].tolist() for row in layers.values()]) for kind, layers in kinds.items()]
    else:
        rows = Axis("site", range(len(means)), tuple(str(score.site) for score in means))
        shown = [Field("", cells.tolist())]
    return fields(shown, rows, columns, title=title, says=found.says, notes=notes)


def _pooled(cells: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """The strongest of each few columns, few enough to be told apart; and how few."""
    factor = -(-cells.shape[1] // _ACROSS)
    starts = range(0, cells.shape[1], factor)
    low, high = np.minimum.reduceat(cells, starts, 1), np.maximum.reduceat(cells, starts, 1)
    return np.where(high >= -low, high, low), factor


def _told(site: Site, texts: Sequence[str]) -> str:
    pos = dict(site.select).get("pos")
    known = isinstance(pos, int) and texts and -len(texts) <= pos < len(texts)
    return f"{site} {texts[pos]}" if known and isinstance(pos, int) else str(site)


def _baseline(found: Attribution) -> str:
    if found.corrupt is None:
        return f"Baseline zero; the metric is {found.clean:.4g}."
    return f"The metric is {found.corrupt:.4g} on the corrupt inputs and {found.clean:.4g} on the clean ones."
