"""The residual stream between attention and MLP, where a block adds one after the other: `resid_mid`.

Recognised by two sums: the first adds what attention made to what it was not made of, the second adds to the first what
was made of it without attention. So it makes no difference whether a block has parts or is written in one piece.
"""

from collections.abc import Iterator, Sequence

import jax

from darklantern.models.on_jax.graph import Graph, Op, Value, source
from darklantern.models.on_jax.outline import Part
from darklantern.models.on_jax.points import Point, named_axes
from darklantern.models.on_jax.ports.attention import Attention


def points(graph: Graph, heads: Sequence[Attention]) -> Iterator[Point]:
    by_block: dict[int, list[Op]] = {}
    for op in graph.ops:
        if op.name in ("add", "add_any") and not any(value.constant for value in op.inputs):
            by_block.setdefault(id(op.part), []).append(op)
    weighed = {id(each.z[0]) for each in heads}
    for sums in by_block.values():
        block = sums[0].part
        inside = [each for each in heads if _holds(block, each.part)]
        found = (_between(sums, _made_of(each.z[0], block), weighed) for each in inside)
        for op in dict.fromkeys(op for op in found if op is not None):
            yield _point(block, op.output)


def _point(part: Part, value: Value) -> Point:
    return Point(
        part.path, "resid_mid", "", value.place, part.loops, named_axes(value.axes),
        jax.ShapeDtypeStruct(value.shape, value.aval.dtype), "in the data flow", part.branch,
    )  # fmt: skip


def _holds(block: Part, part: Part | None) -> bool:
    while part is not None and part is not block:
        part = part.above
    return part is block


def _made_of(value: Value, block: Part) -> set[int]:
    """`value`, and all that is computed from it within `block`."""
    found, waiting = {id(value)}, [value]
    while waiting:
        for op in waiting.pop().users:
            if _holds(block, op.part):
                made = [each for each in op.outputs if id(each) not in found]
                found.update(map(id, made))
                waiting += made
    return found


def _between(sums: Sequence[Op], attended: set[int], weighed: set[int]) -> Op | None:
    """The first sum of what is `attended` and what is not, to which is added what is made of it without attention."""
    for op in sums:
        if [id(value) in attended for value in op.inputs].count(True) == 1 and any(
            _adds(later, op, weighed) for later in sums
        ):
            return op
    return None


def _adds(later: Op, op: Op, weighed: set[int]) -> bool:
    """Whether `later` adds to what `op` made what was made of that, with no attention on the way."""
    waiting = [value for value in later.inputs if source(value) is not op.output]
    if len(waiting) != 1:
        return False
    seen = set[int]()
    while waiting:
        value = waiting.pop()
        if id(value) not in seen and value.op is not None and value.op.number >= op.number:
            seen.add(id(value))
            waiting += [] if value.op is op else value.op.inputs
    return id(op.output) in seen and not seen & weighed
