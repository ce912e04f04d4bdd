"""Softmaxes in the data flow: exponentials over their own sum, with a mask or without."""

from collections.abc import Iterator
from dataclasses import dataclass

from darklantern.models.on_jax.graph import Op, Value, source, users


@dataclass(frozen=True, eq=False)
class Softmax:
    """A softmax: what goes in, what comes out, and the axis along which that sums to one."""

    scores: Value
    copies: tuple[Value, ...]
    """the same scores, computed once more"""
    pattern: Value
    axis: int


def softmaxed(op: Op) -> Softmax | None:
    """The softmax that ends in the division `op`: an exponential over its own sum, if it is one."""
    if op.name != "div":
        return None
    top, bottom = source(op.inputs[0]), source(op.inputs[1])
    while bottom.op is not None and bottom.op.name in ("broadcast_in_dim", "reshape", "expand_dims"):
        bottom = source(bottom.op.inputs[0])
    total = bottom.op
    if total is None or total.name != "reduce_sum" or _unmasked(total.inputs[0]) is not top:
        return None
    if top.op is None or top.op.name != "exp" or len(total.params["axes"]) != 1:
        return None
    shifted = source(top.op.inputs[0])
    scores, copies = shifted, ()
    if shifted.op is not None and shifted.op.name == "sub":
        scores = source(shifted.op.inputs[0])
        copies = tuple(each for each in _largest_of(shifted.op.inputs[1]) if each is not scores and _same(each, scores))
    # With `where=`, what is masked is set to 0 afterwards.
    after = [user for user in users(op.output) if _unmasked(user.output) is op.output]
    pattern = after[0].output if len(after) == 1 and len(op.output.users) == 1 else op.output
    return Softmax(scores, copies, pattern, int(total.params["axes"][0]))


def _unmasked(value: Value) -> Value:
    """`value` before a part of it was set to a constant."""
    value = source(value)
    if value.op is not None and value.op.name == "select_n":
        cases = [each for each in value.op.inputs[1:] if not each.constant]
        if len(cases) == 1:
            return source(cases[0])
    return value


def _largest_of(value: Value) -> Iterator[Value]:
    """What `value` is the largest of, if it is that."""
    value = source(value)
    for _ in range(8):
        if value.op is None or value.constant:
            return
        if value.op.name == "reduce_max":
            yield source(value.op.inputs[0])
            return
        value = next((source(each) for each in value.op.inputs if not each.constant), value)


def _same(one: Value, other: Value) -> bool:
    """Whether two values are computed alike from the same ones."""
    if one.op is None or other.op is None or one.op.name != other.op.name or one.shape != other.shape:
        return False
    pairs = zip(one.op.inputs, other.op.inputs, strict=True)
    return all(source(a) is source(b) or (a.constant and b.constant and a.shape == b.shape) for a, b in pairs)
