"""Activations: a nonlinear function of one value, number by number: `pre` goes in, `post` comes out.

Recognised by data flow: everything that is made of `pre` alone, number by number, meets again in `post`, which is all
that leaves. So it makes no difference whether an activation is a call of the framework's or written out. In a gated MLP
`post` is the gate's; `neurons` is what goes into the down-projection, `slope` is post over pre where nothing gates.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from darklantern.models.on_jax.axes import CHANNEL, FEATURE, kind
from darklantern.models.on_jax.graph import IDENTITIES, Graph, Op, Value, users
from darklantern.models.on_jax.outline import Place
from darklantern.models.on_jax.points import Point, named_axes
from darklantern.models.on_jax.ports import norms, softmaxes
from darklantern.models.on_jax.ports.attention import Attention, inside

_LINEAR = frozenset({"add", "sub", "neg", "mul", "div", "add_any"})
"""with constants: a bias, a factor"""


def points(graph: Graph, heads: Sequence[Attention]) -> Iterator[Point]:
    taken = {id(value) for each in heads for value in inside(each)}
    taken |= {id(value) for room in (norms, softmaxes) for value in room.inside(graph)}
    for op in graph.ops:
        for value in op.inputs:
            if id(value) in taken or not _may_activate(value):
                continue
            taken.add(id(value))
            made = activated(value)
            if made is not None:
                taken |= {id(each) for each in _made_of(value)}
                yield from _ports(*made)


def _may_activate(value: Value) -> bool:
    floating = jnp.issubdtype(value.aval.dtype, jnp.floating)
    features = any(axis and kind(axis) in (FEATURE, CHANNEL) for axis in value.axes)
    return floating and features and not value.constant and bool(value.shape)


def activated(value: Value) -> tuple[Value, Value, Op] | None:
    """The nonlinear function that takes `value`, if one does: what goes in, what comes out, its first operation."""
    own = _made_of(value)
    inside = {id(each) for each in own}
    if value.returned or not all(id(op.output) in inside for op in value.users):
        return None  # it also goes elsewhere: a residual stream
    leaving = [each for each in own if each.returned or not all(id(op.output) in inside for op in each.users)]
    if len(leaving) != 1 or not any(_is_nonlinear(op) for op in _ops(own)):
        return None
    # The latest value through which everything goes, so that a bias is in it.
    pre = value
    while len(pre.users) == 1 and _shifts(pre.users[0]):
        pre = pre.users[0].output
    return pre, leaving[0], pre.users[0]


def _shifts(op: Op) -> bool:
    """Whether `op` adds a bias, or multiplies by a weight: not by one number, which belongs to the function."""
    constants = [value for value in op.inputs if value.constant]
    return op.name in IDENTITIES or (op.name in _LINEAR and bool(constants) and not constants[0].is_scalar)


def _ops(values: list[Value]) -> list[Op]:
    return [value.op for value in values if value.op is not None]


def _made_of(pre: Value) -> list[Value]:
    """All values computed number by number from `pre` and constants alone, in order."""
    made: dict[int, Value] = {id(pre): pre}
    found: list[Value] = []
    waiting = [pre]
    while waiting:
        value = waiting.pop(0)
        for op in value.users:
            output = op.output
            if id(output) in made or not _by_number(op, pre):
                continue
            if all(each.constant or id(each) in made for each in op.inputs):
                made[id(output)] = output
                found.append(output)
                waiting.append(output)
    return found


def _by_number(op: Op, pre: Value) -> bool:
    if len(op.outputs) != 1 or op.name not in _NUMBERWISE or op.output.shape != pre.shape:
        return False
    return op.name != "darklantern_site"  # what is marked is a module's: an activation ends there


def _is_nonlinear(op: Op) -> bool:
    if op.name in _LINEAR:
        return op.name in ("mul", "div") and not any(value.constant for value in op.inputs)
    return op.name in _NUMBERWISE and op.name not in IDENTITIES


_NUMBERWISE = IDENTITIES | {
    "abs", "add", "add_any", "atan2", "cbrt", "ceil", "clamp", "cos", "cosh", "div", "eq", "erf", "erf_inv", "erfc",
    "exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow", "le", "log", "log1p", "logistic", "lt", "max", "min",
    "mul", "ne", "neg", "pow", "round", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt", "square", "stop_gradient",
    "sub", "tan", "tanh",
}  # fmt: skip


def _ports(pre: Value, post: Value, first: Op) -> Iterator[Point]:
    """In the order in which they are computed."""
    gate = next((op for op in users(post) if op.name == "mul" and not any(v.constant for v in op.inputs)), None)
    yield _point(first, "pre", pre)
    if gate is None:
        slope = _slope(first, pre, post)
        if slope is not None:
            yield slope
    yield _point(first, "post", post)
    neurons = post if gate is None else gate.output
    if _is_projected(neurons):
        yield _point(first, "neurons", neurons)


def _is_projected(value: Value) -> bool:
    """Whether a linear map of weights takes `value`, after dropout or moves."""
    return any(op.name == "dot_general" and any(each.constant for each in op.inputs) for op in users(value))


def _point(first: Op, port: str, value: Value, place: Place | None = None, **more: Any) -> Point:
    part = first.part
    return Point(
        part.path, port, "", place or value.place, part.loops, _named(value),
        jax.ShapeDtypeStruct(value.shape, value.aval.dtype), "in the data flow", part.branch, value.custom, **more,
    )  # fmt: skip


def _slope(first: Op, pre: Value, post: Value) -> Point | None:
    """post / pre, where both stand in one jaxpr."""
    beside = post.beside(pre)
    if beside is None:
        return None
    place, reads = beside

    def shown(post: Any, pre: Any) -> Any:
        # Where pre is 0 its slope is that of the function, which no quotient tells: there any number does.
        return jnp.where(pre == 0, 0, post / jnp.where(pre == 0, 1, pre))

    def hidden(new: Any, post: Any, pre: Any) -> Any:
        return jnp.where(pre == 0, post, new * pre)

    return _point(first, "slope", post, place, shown=shown, hidden=hidden, reads=reads)


def _named(value: Value) -> tuple[str, ...]:
    names = named_axes(value.axes)
    return (*names[:-1], "neuron") if names[-1:] == ("dim",) else names
