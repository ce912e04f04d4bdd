"""The residual stream between attention and MLP, where a block adds one after the other: `resid_mid`."""

from collections.abc import Iterator, Sequence

import jax

from darklantern.models.on_jax.graph import Graph, Op, Value, source
from darklantern.models.on_jax.outline import Part
from darklantern.models.on_jax.points import Point, named_axes
from darklantern.models.on_jax.ports.attention import Attention


def points(graph: Graph, heads: Sequence[Attention]) -> Iterator[Point]:
    by_block: dict[int, list[Op]] = {}
    blocks: dict[int, Part] = {}
    for op in graph.ops:
        if op.name in ("add", "add_any") and not any(value.constant for value in op.inputs):
            by_block.setdefault(id(op.part), []).append(op)
            blocks[id(op.part)] = op.part
    for key, sums in by_block.items():
        inside = [each for each in heads if _holds(blocks[key], each.part)]
        if not inside:
            continue
        # The stream: sums of which each takes the one before. The first after attention is between it and the MLP.
        stream = [op for op in sums if _reaches(op, inside[0].z[0], blocks[key])]
        if len(stream) >= 2 and any(source(value) is stream[0].output for value in stream[1].inputs):
            yield _point(blocks[key], stream[0].output)


def _point(part: Part, value: Value) -> Point:
    return Point(
        part.path, "resid_mid", "", value.place, part.loops, named_axes(value.axes, value.aval),
        jax.ShapeDtypeStruct(value.shape, value.aval.dtype), "in the data flow", part.branch,
    )  # fmt: skip


def _holds(block: Part, part: Part | None) -> bool:
    while part is not None and part is not block:
        part = part.above
    return part is block


def _reaches(op: Op, value: Value, block: Part) -> bool:
    """Whether `op` computes with `value`, by ways within `block`."""
    waiting, seen = list(op.inputs), set()
    while waiting:
        each = waiting.pop()
        if each is value:
            return True
        if id(each) not in seen and each.op is not None and _holds(block, each.op.part):
            seen.add(id(each))
            waiting += each.op.inputs
    return False
