"""Norms: what the centred input is divided by, √(variance + ε) or the root mean square.

Recognised by an inverse square root of a mean of squares, or a square root that something is divided by. What is made
of weights alone, as a batch norm's running statistics are, is no scale that a run computes.
"""

from collections.abc import Iterator
from typing import Any

import jax

from darklantern.models.on_jax.axes import FEATURE, kind
from darklantern.models.on_jax.graph import Graph, Op, Value, source, users
from darklantern.models.on_jax.internals import power
from darklantern.models.on_jax.points import Point

_MOST = 24
"""operations between a mean of squares and its square root"""


def points(graph: Graph) -> Iterator[Point]:
    for op in graph.ops:
        if op.output.constant or not _under(op):
            continue
        if op.name == "rsqrt":
            yield _scale(op, lambda value: 1 / value, lambda new: 1 / new)
        elif op.name == "sqrt" and any(user.name == "div" for user in _dividing(op)):
            yield _scale(op, lambda value: value, lambda new: new)


def _dividing(op: Op) -> Iterator[Op]:
    for user in users(op.output):
        if user.name in ("broadcast_in_dim", "reshape"):
            yield from users(user.output)
        else:
            yield user


def _scale(op: Op, shown: Any, hidden: Any) -> Point:
    value = op.output
    # Reduced axes are shown as 1, whether the model's code keeps them or not.
    reduced = len(value.shape) == 0 or value.shape[-1] != 1
    shape = (*value.shape, 1) if reduced else value.shape
    axes = (*_named(op)[: len(shape) - 1], "dim") if len(shape) > 1 else ("dim",)
    return Point(
        op.part.path, "scale", "", value.place, op.part.loops, axes,
        jax.ShapeDtypeStruct(shape, value.aval.dtype), "in the data flow", op.part.branch, value.custom,
        lambda given: shown(given).reshape(shape), lambda new, old: hidden(new).reshape(old.shape),
    )  # fmt: skip


def _named(op: Op) -> tuple[str, ...]:
    kinds = [kind(axis) if axis else "" for axis in op.output.axes]
    if len(kinds) >= 2 and FEATURE in kinds[1:-1]:  # of queries and keys, head by head
        return ("batch", "pos", "head") if kinds[1] != FEATURE else ("batch", "head", "pos")
    if len(kinds) <= 3:
        return ("batch", "pos")[: max(1, len(kinds))] if kinds[:1] != ["token"] else ("token",)
    return tuple(f"axis{number}" for number in range(len(kinds)))


def inside(graph: Graph) -> Iterator[Value]:
    """All values between a deviation that is squared and the root: what is done to them activates nothing."""
    for op in graph.ops:
        if not op.output.constant:
            yield from _under(op)


def _under(op: Op) -> list[Value]:
    """What `op` takes the root of, back to the squares whose sum it is; nothing where data have no part in one."""
    if op.name not in ("rsqrt", "sqrt"):
        return []
    waiting, seen = [op.inputs[0]], list[Value]()
    while waiting and len(seen) < _MOST:
        value = source(waiting.pop(0))
        seen.append(value)
        if value.op is None or value.constant:
            continue
        if value.op.name == "reduce_sum":
            squared = value.op.inputs[0]
            if _is_square(squared):
                made = source(squared).op
                return [*seen, squared, *([] if made is None else made.inputs)]
        elif value.op.name in ("add", "sub", "div", "mul", "max", "broadcast_in_dim", "reshape", "select_n", "cumsum"):
            waiting += [each for each in value.op.inputs if not each.constant]
    return []


def _is_square(value: Value) -> bool:
    op = source(value).op
    if op is None:
        return False
    if op.name == "mul":
        return source(op.inputs[0]) is source(op.inputs[1])
    return op.name == "square" or (op.name == "integer_pow" and power(op.eqn) == 2)
