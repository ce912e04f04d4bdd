"""A circuit as a graph: the embedding at the foot, the logits on top, heads of a layer side by side in between."""

from collections.abc import Sequence

import numpy as np

from darklantern.drawing import Edge, Node, circuit
from darklantern.drawing.circuit import MOST_COLUMNS, MOST_EDGES, MOST_NODES
from darklantern.methods.circuits.circuit import Circuit
from darklantern.methods.patching.wiring import EMBED, LOGITS, Sender, Wiring
from darklantern.models.picture import Picture

Drawn = dict[tuple[str, str], dict[str, float]]
"""by the names of two nodes, what each port's edge is worth"""


def picture(found: Circuit) -> Picture:
    """The strongest edges that fit; those of one head's queries, keys and values as one, with its ports told."""
    return drawn(found, "Circuit", found.says)


def drawn(found: Circuit, title: str, says: str) -> Picture:
    """The same of edges that are something else, under another title."""
    joined = _joined(found)
    shown, names = _fitting(found.wiring, joined)
    places = {name: place for place, name in enumerate(names)}
    nodes = _nodes(found.wiring, names, joined, shown)
    edges = [Edge(source=places[one], target=places[two], effect=_strongest(joined[one, two])) for one, two in shown]
    left = len(joined) - len(shown)
    note = says + (f"; {left} weaker connections are not drawn" if left else "")
    return Picture(circuit(nodes, edges, title=title, note=note, counted=""), title, note)


def _joined(found: Circuit) -> Drawn:
    wiring, joined = found.wiring, Drawn()
    for row, column in np.argwhere(found.kept):
        sender, receiver = wiring.senders[row], wiring.receivers[column]
        heads = [each.name for each in wiring.feeds(receiver)] or [LOGITS]
        for name in heads:
            joined.setdefault((sender.name, name), {})[receiver.port] = float(found.scores[row, column])
    return joined


def _strongest(ports: dict[str, float]) -> float:
    return max(ports.values(), key=abs)


def _fitting(wiring: Wiring, joined: Drawn) -> tuple[list[tuple[str, str]], list[str]]:
    """Connections, the strongest first, as long as nodes and rows have room; and the nodes that they join."""
    rows = {name: _row(wiring, name) for name in [*map(str, wiring.senders), LOGITS]}
    shown: list[tuple[str, str]] = []
    names: list[str] = []
    for pair in sorted(joined, key=lambda pair: -abs(_strongest(joined[pair]))):
        grown = list(dict.fromkeys([*names, *pair]))
        widest = max(sum(rows[name] == row for name in grown) for row in {rows[name] for name in grown})
        if len(grown) <= MOST_NODES and widest <= MOST_COLUMNS and len(shown) < MOST_EDGES:
            shown.append(pair)
            names = grown
    return shown, sorted(names, key=lambda name: (rows[name], name))


def _row(wiring: Wiring, name: str) -> int:
    """The embedding has 0, each part its own, the logits the last."""
    return len(wiring.parts) + 1 if name == LOGITS else wiring.sender(name).part + 1


def _nodes(wiring: Wiring, names: Sequence[str], joined: Drawn, shown: Sequence[tuple[str, str]]) -> list[Node]:
    rows = {name: _row(wiring, name) for name in names}
    wide = max(sum(row == other for other in rows.values()) for row in rows.values())
    made = []
    for name in names:
        mine = [other for other in names if rows[other] == rows[name]]
        column = (wide - len(mine)) // 2 + mine.index(name)
        ports = sorted({port for pair in shown if pair[1] == name for port in joined[pair] if port}, key="qkv".index)
        text = f"hears by {', '.join(ports)}" if ports else ""
        made.append(Node(site=_label(wiring, name), position=column, layer=rows[name], text=text))
    return made


def _label(wiring: Wiring, name: str) -> str:
    if name in (EMBED, LOGITS):
        return name
    sender: Sender = wiring.sender(name)
    path = wiring.parts[sender.part].path
    return path if sender.head is None else f"{path} head {sender.head}"
