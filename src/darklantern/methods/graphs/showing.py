"""A graph as a picture: its strongest part, by the same nodes, edges and numbers as its JSON has."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from darklantern.counted import counted
from darklantern.drawing import Edge, Node, circuit
from darklantern.methods.graphs.graph import Graph
from darklantern.methods.graphs.nodes import LOGIT
from darklantern.methods.graphs.pruning import Marks
from darklantern.models.picture import Picture

TITLE = "Attribution graph"
MOST_NODES, MOST_EDGES, MOST_POSITIONS, MOST_LOGITS = 20, 32, 8, 3


def picture(graph: Graph) -> Picture:
    """Positions across, layers up; features of one layer at one position one above the other."""
    strong = _strong(graph)
    edges = sorted(graph.edges(strong), key=lambda edge: -abs(edge.effect))[:MOST_EDGES]
    tied = [end for edge in edges for end in (edge.source, edge.target)]
    numbers = sorted({*tied, *np.flatnonzero(strong & (graph.nodes.kind == LOGIT)).tolist()})
    place = {number: at for at, number in enumerate(numbers)}
    nodes = [_node(graph, number, row) for number, row in zip(numbers, _rows(graph, numbers), strict=True)]
    drawn = [Edge(source=place[each.source], target=place[each.target], effect=each.effect) for each in edges]
    all_edges = counted(sum(int(np.count_nonzero(each.effects)) for each in graph.rows), "edge")
    note = (
        f"{len(nodes)} of {counted(len(graph.nodes), 'node')} and {len(edges)} of {all_edges}, the strongest. "
        f"Replacement {graph.replacement:.2f}, completeness {graph.completeness:.2f}."
    )
    svg = circuit(nodes, drawn, title=TITLE, tokens=dict(enumerate(graph.tokens)), note=note)
    return Picture(svg, TITLE, f"{graph.says}. {note}")


def _strong(graph: Graph) -> Marks:
    """The nodes of most influence, among them at least a logit, at the positions that have most of it."""
    nodes, influence = graph.nodes, graph.influence + graph.weights
    logits = nodes.those(LOGIT)
    chosen = logits[np.argsort(-influence[logits], kind="stable")[:MOST_LOGITS]]
    by_position = np.bincount(nodes.position, influence, len(graph.tokens))
    by_position[nodes.position[chosen]] = np.inf
    columns = np.argsort(-by_position, kind="stable")[:MOST_POSITIONS]
    others = np.flatnonzero((nodes.kind != LOGIT) & np.isin(nodes.position, columns) & (influence > 0))
    room = MOST_NODES - len(chosen)
    strongest = others[np.argsort(-influence[others], kind="stable")[:room]]
    shown = np.zeros(len(nodes), bool)
    shown[np.concatenate([chosen, strongest])] = True
    return shown


def _rows(graph: Graph, numbers: Sequence[int]) -> list[int]:
    """A row for each node: its layer's, and within a layer the next one for each further node at its position."""
    taken: Counter[tuple[int, int]] = Counter()
    slots = []
    for node in map(graph.nodes.__getitem__, numbers):
        slots.append((node.layer, taken[node.layer, node.position]))
        taken[node.layer, node.position] += 1
    order = {slot: row for row, slot in enumerate(sorted(set(slots)))}
    return [order[slot] for slot in slots]


def _node(graph: Graph, number: int, row: int) -> Node:
    node = graph.nodes[number]
    name, text = {
        "feature": (f"L{node.layer} f{node.index}", f"acts {node.activation:.3g}"),
        "error": (f"L{node.layer} error", ""),
        "token": (graph.tokens[node.position] or " ", "token"),
        "logit": (graph.answers.get(node.index, " "), f"p = {node.activation:.3f}"),
    }[node.kind]
    return Node(site=name, position=node.position, layer=row, text=text)
