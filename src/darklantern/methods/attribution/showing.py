"""Attributions as pictures."""

from darklantern.drawing import Axis, Bar, Field, bars, fields
from darklantern.drawing.bars import MOST_BARS
from darklantern.methods.attribution.attribution import Attribution
from darklantern.methods.attribution.verifying import Verified
from darklantern.models.picture import Picture
from darklantern.models.recording import Value

_MOST = 256
"""columns that can be told apart"""


def picture(found: Attribution) -> Picture:
    """A map of sites by index where all sites were told apart alike; otherwise bars of the largest scores."""
    title = f"Contributions, by {found.way.name}"
    values = list(found.scores.values())
    axes = {(value.axes, value.shape) for value in values}
    if len(axes) == 1 and len(values[0].axes) == 1 and 1 < values[0].shape[0] <= _MOST:
        return _map(found, values, title)
    items = [Bar(label=str(site), value=score) for site, score in found.ranked()[:MOST_BARS]]
    return Picture(bars(items, title=title, unit="of the metric", note=found.says), title, found.says)


def _map(found: Attribution, values: list[Value], title: str) -> Picture:
    (axis,), (size,) = values[0].axes, values[0].shape
    names = [str(value.site) for value in values]
    tokens = values[0].tokens or ()
    texts = tuple(tokens[0]) if axis == "pos" and len(tokens) == 1 and len(tokens[0]) == size else ()
    rows = [[float(each) for each in value.array] for value in values]
    notes = [f"The metric is {found.way.clean:.4g} on the clean inputs" + (
        "." if found.way.corrupt is None else f" and {found.way.corrupt:.4g} on the corrupt ones.")]  # fmt: skip
    svg = fields([Field("", rows)], Axis("site", range(len(rows)), tuple(names)), Axis(axis, range(size), texts),
                 title=title, says=found.says, notes=notes)  # fmt: skip
    return Picture(svg, title, found.says)


def beside(found: Verified) -> Picture:
    """Two bars for each part: its score, and below it what an exact patch does."""
    title, items = "Scores beside exact patches", []
    for part, score, exact in list(zip(found.parts, found.attributed, found.exact, strict=True))[: MOST_BARS // 2]:
        items += [Bar(label=str(part), value=float(score)), Bar(label="exact", value=float(exact), control=True)]
    return Picture(bars(items, title=title, unit="of the metric", note=found.says), title, found.says)
