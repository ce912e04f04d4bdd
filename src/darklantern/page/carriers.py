"""A circuit from evidence: the sites that it names, each with the effect that a grid measured for it alone.

Evidence holds no edges between sites, so none are drawn: each arrow says what patching that one
site back does to the behaviour, and nothing about what flows between them.
"""

import re
from collections.abc import Sequence

from darklantern.drawing import Edge, Node, Svg, circuit
from darklantern.drawing.circuit import MOST_NODES
from darklantern.records.findings import Evidence, Grid

_PINNED = re.compile(r"^(?P<path>[^\[\]]+)\[(?P<select>[^\[\]]*)\]\Z")
_POSITION = re.compile(r"pos=(\d{1,6})\Z")


def carriers(evidence: Evidence) -> Svg | None:
    """The picture of `evidence.sites`; None unless two or more of them have a position and a measured effect.

    Raises RecordError where drawing refuses.
    """
    found = [each for site in evidence.sites[:MOST_NODES] if (each := _measured(site, evidence.grids)) is not None]
    if len(found) < 2:
        return None
    grid = found[0][3]
    found = [each for each in found if each[3] is grid]
    layers = _layers([(site, position) for site, position, _, _ in found], grid)
    nodes = [Node(site=site, position=position, layer=layers[site, position]) for site, position, _, _ in found]
    last = len(grid.columns) - 1
    nodes.append(Node(site="behaviour", position=last, layer=max(layers.values()) + 1, text=grid.unit))
    return circuit(
        nodes,
        [Edge(source=i, target=len(found), effect=effect) for i, (_, _, effect, _) in enumerate(found)],
        title="Sites that carry it",
        unit=grid.unit,
        tokens=dict(enumerate(grid.columns)),
        note="Each arrow: what patching this site alone does to the behaviour; flow between sites was not measured",
    )


def _layers(places: Sequence[tuple[str, int]], grid: Grid) -> dict[tuple[str, int], int]:
    """A row for each site, in the grid's order; heads of one layer share it unless they share a position too."""
    ordered = sorted(set(places), key=lambda place: (grid.rows.index(place[0]), place[1]))
    rows: list[tuple[str, dict[int, str]]] = []
    for site, position in ordered:
        module = site.partition("[")[0]
        free = next((held for name, held in rows if name == module and position not in held), None)
        if free is None:
            rows.append((module, free := {}))
        free[position] = site
    return {(site, position): layer for layer, (_, held) in enumerate(rows) for position, site in held.items()}


def _measured(site: str, grids: Sequence[Grid]) -> tuple[str, int, float, Grid] | None:
    """(site without its position, position, effect, grid) of `layers.0.attn:z[head=1,pos=14]`."""
    match = _PINNED.match(site)
    if not match:
        return None
    pins = [pin.strip() for pin in match["select"].split(",")]
    places = [int(place[1]) for pin in pins if (place := _POSITION.match(pin))]
    rest = ",".join(pin for pin in pins if not _POSITION.match(pin))
    whole = match["path"] + (f"[{rest}]" if rest else "")
    for grid in grids:
        if len(places) == 1 and whole in grid.rows and places[0] < len(grid.columns):
            row = grid.values[grid.rows.index(whole)] if len(grid.values) == len(grid.rows) else ()
            if places[0] < len(row):
                return whole, places[0], row[places[0]], grid
    return None
