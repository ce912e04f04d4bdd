"""Norms: what the centred input is divided by, √(variance + ε) or the root mean square.

Recognised by an inverse square root of a mean of squares, or a square root that something is divided by. What is made
of weights alone, as a batch norm's running statistics are, is no scale that a run computes.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import jax

from darklantern.models.on_jax.graph import Graph, Op, Value, source, users
from darklantern.models.on_jax.internals import power, reduced_axes
from darklantern.models.on_jax.points import Point, named_axes

_MOST = 24
"""operations between a mean of squares and its square root"""


def points(graph: Graph) -> Iterator[Point]:
    for op in graph.ops:
        under = _under(op)
        if under is None:
            continue
        if op.name == "rsqrt":
            yield _scale(op, under[0], lambda value: 1 / value, lambda new: 1 / new)
        elif any(user.name == "div" for user in _dividing(op)):
            yield _scale(op, under[0], lambda value: value, lambda new: new)


def _dividing(op: Op) -> Iterator[Op]:
    for user in users(op.output):
        if user.name in ("broadcast_in_dim", "reshape"):
            yield from users(user.output)
        else:
            yield user


def _scale(op: Op, total: Op, shown: Any, hidden: Any) -> Point:
    value = op.output
    names, shape = _shown(value, total)
    return Point(
        op.part.path, "scale", "", value.place, op.part.loops, names,
        jax.ShapeDtypeStruct(shape, value.aval.dtype), "in the data flow", op.part.branch, value.custom,
        lambda given: shown(given).reshape(shape), lambda new, old: hidden(new).reshape(old.shape),
    )  # fmt: skip


def _shown(value: Value, total: Op) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and shape of a scale: those of what is normed, with 1 for what is summed, kept by the code or not."""
    squared, gone = total.inputs[0], reduced_axes(total.eqn)
    shape = tuple(1 if place in gone else size for place, size in enumerate(squared.shape))
    if prod(shape) != prod(value.shape):  # of groups of features, spread over these before the root is taken
        normed = _ungrouped(squared)
        fits = [a in (1, b) for a, b in zip(value.shape, normed.shape, strict=False)]
        like = normed if len(fits) == len(value.shape) == len(normed.shape) and all(fits) else value
        return named_axes(like.axes), value.shape
    names = named_axes(squared.axes)
    if "head" in names and gone != (len(shape) - 1,):  # groups of features that are no heads
        names = tuple(f"axis{place}" for place in range(len(shape)))
    return names, shape


def _ungrouped(squared: Value) -> Value:
    """What is squared, before its mean is subtracted and its features are taken apart in groups."""
    value = source(squared)
    for names in (("square", "mul", "integer_pow"), ("sub",), ("reshape",)):
        if value.op is not None and value.op.name in names:
            value = source(value.op.inputs[0])
    return value


def inside(graph: Graph) -> Iterator[Value]:
    """All values between a deviation that is squared and the root: what is done to them activates nothing."""
    for op in graph.ops:
        under = _under(op)
        if under is not None:
            yield from under[1]


def _under(op: Op) -> tuple[Op, list[Value]] | None:
    """The sum of squares that `op` takes the root of, and all on the way; None where data have no part in one."""
    if op.name not in ("rsqrt", "sqrt") or op.output.constant:
        return None
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
                return value.op, [*seen, squared, *([] if made is None else made.inputs)]
        elif value.op.name in ("add", "sub", "div", "mul", "max", "broadcast_in_dim", "reshape", "select_n", "cumsum"):
            waiting += [each for each in value.op.inputs if not each.constant]
    return None


def _is_square(value: Value) -> bool:
    op = source(value).op
    if op is None:
        return False
    if op.name == "mul":
        return source(op.inputs[0]) is source(op.inputs[1])
    return op.name == "square" or (op.name == "integer_pow" and power(op.eqn) == 2)
