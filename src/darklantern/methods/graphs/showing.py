"""A graph as a picture: its strongest part, by the same nodes, edges and numbers as its JSON has."""

import numpy as np

from darklantern.counted import counted
from darklantern.drawing import Edge, Node, circuit
from darklantern.methods.graphs.graph import Graph
from darklantern.methods.graphs.nodes import FEATURE, LOGIT, TOKEN, Ints
from darklantern.methods.graphs.pruning import Marks
from darklantern.models.picture import Picture

MOST_NODES, MOST_EDGES, MOST_POSITIONS, MOST_LOGITS = 24, 40, 8, 3


def picture(graph: Graph) -> Picture:
    """Positions across, layers up; features of one layer at one position one above the other."""
    shown = _shown(graph)
    edges = [(source, target, effect) for source, target, effect in graph.edges() if shown[source] and shown[target]]
    edges = sorted(edges, key=lambda edge: -abs(edge[2]))[:MOST_EDGES]
    numbers = np.flatnonzero(shown)
    place = {int(number): at for at, number in enumerate(numbers)}
    rows = _rows(graph, numbers)
    nodes = [_node(graph, number, row) for number, row in zip(numbers.tolist(), rows, strict=True)]
    title = "Attribution graph"
    note = (
        f"{len(nodes)} of {counted(len(graph.nodes), 'node')} and {len(edges)} of "
        f"{counted(sum(int(np.count_nonzero(each.effects)) for each in graph.rows), 'edge')}, the strongest. "
        f"Replacement {graph.replacement:.2f}, completeness {graph.completeness:.2f}."
    )
    drawn = [Edge(source=place[source], target=place[target], effect=effect) for source, target, effect in edges]
    svg = circuit(nodes, drawn, title=title, tokens=dict(enumerate(graph.tokens)), note=note)
    return Picture(svg, title, f"{graph.says}. {note}")


def _shown(graph: Graph) -> Marks:
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


def _rows(graph: Graph, numbers: Ints) -> list[int]:
    """A row for each node: its layer's, and within a layer the next one for each further node at its position."""
    nodes, taken, slots = graph.nodes, {}, []
    for number in numbers.tolist():
        cell = (int(nodes.layer[number]), int(nodes.position[number]))
        slots.append((cell[0], taken.setdefault(cell, 0)))
        taken[cell] += 1
    order = {slot: row for row, slot in enumerate(sorted(set(slots)))}
    return [order[slot] for slot in slots]


def _node(graph: Graph, number: int, row: int) -> Node:
    node = graph.nodes[number]
    name = {
        "feature": f"L{node.layer} feature {node.index}",
        "error": f"L{node.layer} error",
        "token": graph.tokens[node.position] or " ",
        "logit": f"says {graph.answers.get(node.index, '')!r}",
    }[node.kind]
    kind = int(graph.nodes.kind[number])
    about = f"p = {node.activation:.3f}" if kind == LOGIT else f"influence {graph.influence[number]:.3f}"
    text = f"token, {about}" if kind == TOKEN else f"{node.activation:.2f}, {about}" if kind == FEATURE else about
    return Node(site=name, position=node.position, layer=row, text=text)
