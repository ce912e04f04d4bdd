"""What each head adds to attention's output: `result`, its part of the output projection.

A point of its own kind: the value that stands in the model is the projection's output, the sum over heads; what is
shown is made of what goes into the projection and of its weights, and an edited one is summed again.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from darklantern.models.on_jax.graph import Op, Value, source, users
from darklantern.models.on_jax.internals import contraction
from darklantern.models.on_jax.outline import Place
from darklantern.models.on_jax.points import Named, Point, View, view
from darklantern.models.on_jax.ports.attention import Attention
from darklantern.models.on_jax.ports.layout import after

_HEADS = (("batch",), ("pos",), ("head", "group"), ("dim",))
_WEIGHT = (("head", "group"), ("dim",), ("out",))
_OUT = (("batch",), ("pos",), ("out",))


def points(several: Sequence[Attention]) -> Iterator[Point]:
    for each in several:
        found = _projection(*each.z, each.single)
        if found is not None and (made := _result(each, *found)) is not None:
            yield made


def _projection(value: Value, named: Named, single: Collection[str]) -> tuple[Op, int, Named] | None:
    """The map of weights that takes all heads at once, which operand they are, and that operand's axes."""
    wanted = {"head", "dim"} - {*single}  # what there is one of may have been dropped on the way
    waiting = [(value, named)]
    while waiting:
        value, named = waiting.pop(0)
        for op in users(value):
            operand = next((n for n, each in enumerate(op.inputs) if source(each) is source(value)), None)
            if op.name == "dot_general" and operand is not None and op.inputs[1 - operand].constant:
                used = contraction(op.eqn).summed[operand]
                names = {name for axis in used for name, _ in named[axis]}
                return (op, operand, named) if wanted <= names <= {"head", "group", "dim"} else None
            if op.name in ("transpose", "reshape", "squeeze", "expand_dims", "select_n"):
                turned = after(op, named)
                if turned is not None:
                    waiting.append((op.output, turned))
    return None


def _result(attention: Attention, op: Op, operand: int, named: Named) -> Point | None:
    given, weight, out = op.inputs[operand], op.inputs[1 - operand], op.output
    product = contraction(op.eqn)
    if product.shared[0]:
        return None
    # The weight's axes: those that meet heads have their names, the one that is left is the output's.
    axes: list[tuple[tuple[str, int], ...]] = [()] * len(weight.shape)
    for mine, theirs in zip(product.summed[operand], product.summed[1 - operand], strict=True):
        axes[theirs] = named[mine]
    left = product.free(1 - operand, len(axes))
    if len(left) != 1:
        return None
    axes[left[0]] = (("out", weight.shape[left[0]]),)
    rows = [named[axis] for axis in product.free(operand, len(named))]
    summed = tuple([*rows, axes[left[0]]] if operand == 0 else [axes[left[0]], *rows])
    views = [view(named, _HEADS, attention.single), view(tuple(axes), _WEIGHT, attention.single - {"batch", "pos"}),
             view(summed, _OUT, attention.single - {"head", "group", "dim"})]  # fmt: skip
    beside = out.beside(given, weight)
    if beside is None or any(each is None for each in views):
        return None
    return _point(attention, out, [each[0] for each in views if each], *beside)


def _point(attention: Attention, out: Value, views: Sequence[View], place: Place, reads: tuple[Place, ...]) -> Point:
    heads, weights, sums = views
    shape = (*heads.joined[:-1], weights.joined[-1])

    def shown(value: Any, given: Any, weight: Any) -> Any:
        del value
        return jnp.einsum("...hd,hde->...he", heads.shown(given), weights.shown(weight)).reshape(shape)

    def hidden(new: Any, value: Any, *_: Any) -> Any:
        return sums.hidden(new.sum(-2), value)

    return Point(
        attention.part.path, "result", "", place, attention.part.loops,
        ("batch", "pos", "head", "dim")[-len(shape) :],
        jax.ShapeDtypeStruct(shape, out.aval.dtype), "head by head, from z and the projection", attention.part.branch,
        out.custom, shown, hidden, reads,
    )  # fmt: skip
