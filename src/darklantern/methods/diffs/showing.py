"""A diff as a picture."""

import math

import numpy as np

from darklantern.drawing import Axis, Bar, Field, bars, fields
from darklantern.drawing.bars import MOST_BARS
from darklantern.methods.diffs.changes import Diff, SiteDiff
from darklantern.models.picture import Picture

_NAMES = {"z": "what heads write (z)", "pattern": "where they look (pattern)"}


def picture(found: Diff) -> Picture:
    """Two maps of layers by heads, or a bar for each site."""
    title, heads = "What changed between two checkpoints", found.heads()
    same = len({(len(held), len(held[0].units)) for held in heads.values()}) == 1
    if not heads or not same:
        return _as_bars(found, title)
    first = next(iter(heads.values()))
    shown = [Field(_NAMES.get(port, port), _limited(held)) for port, held in heads.items()]
    rows = Axis("site", range(len(first)), tuple(each.site.path for each in first))
    columns = Axis("head", range(len(first[0].units)))
    notes = [
        "z: how far it moved, of its size before. pattern: total variation, 0 to 1.",
        *(f"{each.site}: drift {each.drift:.3f}, CKA {each.cka:.3f}." for each in _blocks(found)),
    ]
    svg = fields(shown, rows, columns, title=title, says=found.says, notes=notes)
    return Picture(svg, title, found.says)


def _as_bars(found: Diff, title: str) -> Picture:
    most = sorted(found.changes, key=lambda each: -_finite(each.drift))[:MOST_BARS]
    items = [Bar(label=str(each.site), value=_finite(each.drift)) for each in most]
    return Picture(bars(items, title=title, unit="of its size before", note=found.says), title, found.says)


def _blocks(found: Diff) -> list[SiteDiff]:
    return [each for each in found.changes if each.axis == "dim" and each.site.port == "out"][:12]


def _limited(held: list[SiteDiff]) -> list[list[float]]:
    return [[_finite(value) for value in np.asarray(each.units)] for each in held]


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else 1e3
