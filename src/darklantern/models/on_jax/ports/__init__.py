"""The ports of a model's parts that its own code does not name: recognised in the data flow, by what they compute.

Each file finds one thing: attention, norms, activations, the residual stream. None knows a framework or a class: a
softmax over keys of a product of queries and keys is attention, whoever wrote it.
"""

from collections.abc import Iterable

from darklantern.models.on_jax.graph import Graph
from darklantern.models.on_jax.points import Point
from darklantern.models.on_jax.ports import activations, attention, norms, projections, residual, rotations


def points(graphs: Iterable[Graph]) -> list[Point]:
    """All that is found in the flow of a model and of the bodies in it."""
    found: list[Point] = []
    for graph in graphs:
        heads = attention.found(graph)
        found += attention.points(heads)
        found += rotations.points(heads)
        found += projections.points(heads)
        found += norms.points(graph)
        found += activations.points(graph, heads)
        found += residual.points(graph, heads)
    return found
