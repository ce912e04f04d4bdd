"""A diff as a picture: sites, and below them directions and edges, where it has some."""

import math
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from darklantern.drawing import Axis, Bar, Field, bars, fields
from darklantern.drawing.bars import MOST_BARS
from darklantern.drawing.frame import stacked
from darklantern.methods.circuits.circuit import Circuit, mask
from darklantern.methods.circuits.showing import drawn
from darklantern.methods.diffs.changes import Diff, SiteDiff
from darklantern.methods.diffs.followed import DirectionDiff
from darklantern.methods.diffs.rewired import CircuitDiff
from darklantern.methods.directions import Interval
from darklantern.models.picture import Picture

_NAMES = {"z": "what heads write (z)", "pattern": "where they look (pattern)"}


def picture(found: Diff) -> Picture:
    """All its parts, one below the other."""
    parts = [_of_sites(found)]
    if found.directions:
        parts += [_cosines(found.directions), _aurocs(found.directions)]
    if found.edges is not None and found.edges.claimed:
        parts.append(_of_edges(found.edges))
    if len(parts) == 1:
        return parts[0]
    return Picture(stacked([each.svg for each in parts], parts[0].title), parts[0].title, found.says)


def _of_sites(found: Diff) -> Picture:
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
    svg = fields(shown, rows, columns, title=title, says=found.says_of_sites, notes=notes)
    return Picture(svg, title, found.says_of_sites)


def _cosines(every: Sequence[DirectionDiff]) -> Picture:
    """How far each turned, beside how far other examples turn it."""
    items = []
    for each in every[: MOST_BARS // 2]:
        items.append(_bar(each.name, each.cosine))
        items.append(replace(_bar(f"{each.name}: other examples", each.floor), control=True))
    title = "Directions: cosine of frozen and refitted"
    note = "Black: 95 % interval. Grey: two fits before, which share no example."
    moved = ", ".join(each.name for each in every if each.moved)
    note = f"{f'Moved: {moved}' if moved else 'None moved beyond what other examples do'}. {note}"
    return Picture(bars(items, title=title, unit="cosine", note=note), title, note)


def _aurocs(every: Sequence[DirectionDiff]) -> Picture:
    items = []
    for each in every[: MOST_BARS // 3]:
        items.append(replace(_bar(f"{each.name}: before", each.before), control=True))
        items.append(_bar(f"{each.name}: after, frozen", each.transfer.auroc))
        items.append(_bar(f"{each.name}: after, refitted", each.transfer.refit.auroc))
    title, note = "Directions: held-out AUROC", "0.5 is chance. Black: 95 % interval. Grey: before."
    return Picture(bars(items, title=title, unit="AUROC", note=note), title, note)


def _bar(name: str, found: Interval) -> Bar:
    return Bar(label=name, value=found.value, interval=found[1:])


def _of_edges(found: CircuitDiff) -> Picture:
    """The edges that changed as a graph; the effect of each is by how much its score rose."""
    wiring, step = found.before.wiring, found.after.table - found.before.table
    kept = mask(wiring, (each.edge for each in found.claimed))
    changed = Circuit(wiring, kept, step, found.before.how, made=found.after.made)
    return drawn(changed, "Edges that changed", found.says)


def _as_bars(found: Diff, title: str) -> Picture:
    most = sorted(found.changes, key=lambda each: -_finite(each.drift))[:MOST_BARS]
    items = [Bar(label=str(each.site), value=_finite(each.drift)) for each in most]
    return Picture(
        bars(items, title=title, unit="of its size before", note=found.says_of_sites), title, found.says_of_sites
    )


def _blocks(found: Diff) -> list[SiteDiff]:
    return [each for each in found.changes if each.axis == "dim" and each.site.port == "out"][:12]


def _limited(held: list[SiteDiff]) -> list[list[float]]:
    return [[_finite(value) for value in np.asarray(each.units)] for each in held]


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else 1e3
