"""A circuit as nodes on a grid of token positions and layers, joined by edges as wide as their effect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from darklantern.drawing import checks
from darklantern.drawing.frame import EDGE, HEADED, WIDE, document, heading, label, line
from darklantern.drawing.ink import INK, MAIN, OUTSIDE, RULE, SOFT
from darklantern.drawing.lettering import clean, visible, width
from darklantern.drawing.markup import Svg, element
from darklantern.drawing.placing import Box, first_free
from darklantern.drawing.scales import number
from darklantern.drawing.ways import Way, nearest_channel
from darklantern.errors import RecordError
from darklantern.records import Value
from darklantern.records.exact import Name

MOST_NODES = 40
MOST_EDGES = 80
MOST_COLUMNS = 10
_ROW = 90.0
_TALL = 38.0
_WIDEST = 6.0
_HEAD = 6.0
_LANE = 9.0


class Node(Value, frozen=True, kw_only=True):
    """A site at a token position. `layer` orders the rows: give attention and MLP of a block their own.

    `text` says in a few words what the node does.
    """

    site: Name
    position: int
    layer: int
    text: str = ""


class Edge(Value, frozen=True, kw_only=True):
    """An effect that flows from one node up to another; both are indices into the nodes."""

    source: int
    target: int
    effect: float


@dataclass(frozen=True, slots=True)
class Places:
    """Pixel places: the middle of each position's column and of each layer's row."""

    columns: Mapping[int, float]
    rows: Mapping[int, float]
    wide: float
    """of a node"""

    @property
    def gutter(self) -> float:
        """Pixels between two columns of nodes."""
        return (WIDE - 2 * EDGE) / len(self.columns) - self.wide

    @property
    def channels(self) -> list[float]:
        """The middle of each gutter, and of the half of one outside each outer column."""
        aside = (self.wide + self.gutter) / 2
        *inner, last = self.columns.values()
        outside = aside - self.gutter / 4
        return [min(self.columns.values()) - outside, *(x + aside for x in inner), last + outside]

    def room(self, channel: float) -> float:
        """Pixels for the lanes of a channel."""
        return self.gutter / 2 if channel in (self.channels[0], self.channels[-1]) else self.gutter

    def box(self, node: Node) -> Box:
        return Box(self.columns[node.position] - self.wide / 2, self.rows[node.layer] - _TALL / 2, self.wide, _TALL)


def circuit(
    nodes: Sequence[Node],
    edges: Sequence[Edge],
    *,
    title: str,
    unit: str = "",
    tokens: Mapping[int, str] | None = None,
    note: str = "",
    counted: str = "position",
) -> Svg:
    """Draw a circuit: positions left to right, layers bottom to top, so that information flows upward.

    Blue edges raise the measured quantity, orange ones lower it; width is the size of the effect
    relative to the largest. Only positions that hold a node get a column; `tokens` tells their text, and
    `counted` what the columns are called; empty where they stand for nothing.

    Raises RecordError for no nodes, too many, two nodes in one place, an edge that does not go up,
    NaN or infinity.
    """
    _check(nodes, edges)
    grid, bottom = _grid(nodes)
    largest = max((abs(edge.effect) for edge in edges), default=0.0) or 1.0
    ways = _ways(nodes, edges, grid)
    effects = [f"{nodes[e.source].site} → {nodes[e.target].site}: {number(e.effect)} {unit}".rstrip() for e in edges]
    order = sorted(range(len(edges)), key=lambda i: abs(edges[i].effect))
    return document(
        "circuit",
        (WIDE, bottom + (52 if counted else 16)),
        title,
        "; ".join([note, *effects]).strip("; "),
        [
            heading(title, note, WIDE),
            *_axis(grid, tokens or {}, bottom, counted),
            *(_edge(edges[i], ways[i], largest, effects[i]) for i in order),
            *(_node(node, grid.box(node)) for node in nodes),
            *_effects(edges, ways, [grid.box(node) for node in nodes]),
        ],
    )


def _check(nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
    checks.something("nodes", nodes)
    checks.at_most(MOST_NODES, "nodes", nodes)
    checks.at_most(MOST_EDGES, "edges", edges)
    checks.at_most(MOST_COLUMNS, "token positions", sorted({node.position for node in nodes}))
    checks.finite("the effects", [edge.effect for edge in edges])
    places: dict[tuple[int, int], Node] = {}
    for node in nodes:
        other = places.setdefault((node.position, node.layer), node)
        if other is not node:
            raise RecordError(
                f"expected one node at position {node.position}, layer {node.layer}; "
                f"got {other.site!r} and {node.site!r}",
                hint="number layers so that attention and MLP of one block differ, for instance 2k and 2k + 1",
            )
    for edge in edges:
        if not (0 <= edge.source < len(nodes) and 0 <= edge.target < len(nodes)):
            raise RecordError(
                f"expected an edge between nodes 0 to {len(nodes) - 1}, got {edge.source} → {edge.target}",
                hint="source and target are indices into the nodes given to the same call",
            )
        if nodes[edge.source].layer >= nodes[edge.target].layer:
            raise RecordError(
                f"expected an edge to go up, got {nodes[edge.source].site!r} (layer {nodes[edge.source].layer}) → "
                f"{nodes[edge.target].site!r} (layer {nodes[edge.target].layer})",
                hint="information flows from lower to higher layers; swap source and target, or renumber the layers",
            )


def _grid(nodes: Sequence[Node]) -> tuple[Places, float]:
    positions = sorted({node.position for node in nodes})
    layers = sorted({node.layer for node in nodes}, reverse=True)
    pitch = (WIDE - 2 * EDGE) / len(positions)
    needed = max(width(clean(text), 12, bold=True) for node in nodes for text in (node.site, node.text)) + 24
    columns = {position: EDGE + (i + 0.5) * pitch for i, position in enumerate(positions)}
    rows = {layer: HEADED + 8 + _TALL / 2 + i * _ROW for i, layer in enumerate(layers)}
    return Places(columns, rows, min(max(needed, 72.0), pitch * 0.78, 260.0)), max(rows.values()) + _TALL / 2 + 14


def _axis(grid: Places, tokens: Mapping[int, str], bottom: float, counted: str) -> list[Svg]:
    if not counted:
        return []
    made = []
    pitch = (WIDE - 2 * EDGE) / len(grid.columns)
    for position, x in grid.columns.items():
        made.append(line(x, HEADED, x, bottom, RULE, 1, "2 4"))
        says = visible(tokens[position]) if position in tokens else ""
        made.append(label(x, bottom + 16, says, anchor="middle", weight="600", room=pitch - 12))
        made.append(label(x, bottom + 32, f"{counted} {position}", size=11, fill=SOFT, anchor="middle", room=pitch - 8))
    return made


def _ways(nodes: Sequence[Node], edges: Sequence[Edge], grid: Places) -> list[Way]:
    """A way for each edge; those that share a channel run side by side in lanes."""
    plain = [_way(edge, nodes, edges, grid) for edge in edges]
    made = []
    for i, way in enumerate(plain):
        if way.channel is None:
            made.append(way)
            continue
        sharing = [j for j, other in enumerate(plain) if other.channel == way.channel]
        lane = (sharing.index(i) - (len(sharing) - 1) / 2) * min(_LANE, grid.room(way.channel) / len(sharing))
        made.append(replace(way, channel=way.channel + lane))
    return made


def _way(edge: Edge, nodes: Sequence[Node], edges: Sequence[Edge], grid: Places) -> Way:
    """From the top of the source to the bottom of the target, in a channel if a node might be between."""
    source, target = nodes[edge.source], nodes[edge.target]
    leaving = sorted((nodes[e.target].position, e.target) for e in edges if e.source == edge.source)
    coming = sorted((nodes[e.source].position, e.source) for e in edges if e.target == edge.target)
    out = _port(leaving.index((target.position, edge.target)), len(leaving)) * grid.wide
    into = _port(coming.index((source.position, edge.source)), len(coming)) * grid.wide
    between = [n for n in nodes if source.layer < n.layer < target.layer]
    straight = source.position == target.position and all(n.position != source.position for n in between)
    if straight:  # upright where a side has room to give
        out, into = (out, out) if len(coming) == 1 else (into, into) if len(leaving) == 1 else (out, into)
    start = (grid.columns[source.position] + out, grid.rows[source.layer] - _TALL / 2)
    end = (grid.columns[target.position] + into, grid.rows[target.layer] + _TALL / 2 + _HEAD)
    if straight or not between:
        return Way(start, end, _ROW - _TALL)
    return Way(start, end, _ROW - _TALL, grid.channels[nearest_channel(grid.channels, start[0], end[0])])


def _port(rank: int, count: int) -> float:
    """Where on a node's side an edge is tied, as a share of its width from the middle."""
    return 0.5 * ((rank + 1) / (count + 1) - 0.5) if count > 1 else 0.0


def _colour(edge: Edge) -> str:
    return MAIN if edge.effect >= 0 else OUTSIDE[0]


def _edge(edge: Edge, way: Way, largest: float, says: str) -> Svg:
    thick = 1.0 + (_WIDEST - 1.0) * abs(edge.effect) / largest
    half = 3.0 + thick * 0.75
    x, y = way.end
    tip = f"M{x - half:.2f} {y + 2:.2f}L{x:.2f} {y - _HEAD:.2f}L{x + half:.2f} {y + 2:.2f}Z"
    return element(
        "g",
        element("title", says),
        element(
            "path",
            d=way.path(),
            fill="none",
            stroke=_colour(edge),
            stroke_width=thick,
            stroke_opacity=0.75,
        ),
        element("path", d=tip, fill=_colour(edge)),
        class_="dl-edge",
    )


def _node(node: Node, box: Box) -> Svg:
    middle, room = box.x + box.wide / 2, box.wide - 12
    lines = [label(middle, box.y + (16 if node.text else 23), node.site, anchor="middle", weight="600", room=room)]
    if node.text:
        lines.append(label(middle, box.y + 30, node.text, size=11, fill=SOFT, anchor="middle", room=room))
    card = element(
        "rect", x=box.x, y=box.y, width=box.wide, height=box.tall, rx=6, fill="#f6f8fb", stroke=INK, stroke_width=1.25
    )
    return element("g", card, *lines, class_="dl-node")


def _effects(edges: Sequence[Edge], ways: Sequence[Way], taken: Sequence[Box]) -> list[Svg]:
    """The figures on the edges, strongest first; one that finds no free place stays in the tooltip."""
    made = []
    filled = list(taken)
    for edge, way in sorted(zip(edges, ways, strict=True), key=lambda pair: -abs(pair[0].effect)):
        text = number(edge.effect)
        wide = width(text, 11, bold=True) + 6
        box = first_free((Box(x - wide / 2, y - 8, wide, 16) for x, y in way.spots()), filled)
        if box is not None:
            filled.append(box)
            x, y = box.x + wide / 2, box.y + 12
            made.append(label(x, y, text, size=11, fill=_colour(edge), anchor="middle", weight="600", halo=True))
    return made
