"""Softmaxes in the data flow: exponentials over their own sum, with a mask or without."""

from dataclasses import dataclass

from darklantern.models.on_jax.graph import Op, Value, source, users
from darklantern.models.on_jax.internals import reduced_axes


@dataclass(frozen=True, eq=False)
class Softmax:
    """A softmax: what goes in, what comes out, and the axis along which that sums to one."""

    scores: Value
    pattern: Value
    masks: bool
    """it forbids keys itself, whatever the scores say"""
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
    if top.op is None or top.op.name != "exp" or len(reduced_axes(total.eqn)) != 1:
        return None
    shifted = source(top.op.inputs[0])
    scores: Value = shifted
    if shifted.op is not None and shifted.op.name == "sub":
        scores = source(shifted.op.inputs[0])
    # With `where=`, what is masked is left out of the sum, and set to 0 afterwards.
    masks, pattern = source(total.inputs[0]) is not top, op.output
    after = [user for user in users(pattern) if _unmasked(user.output) is pattern]
    if masks and len(after) == 1 and len(pattern.users) == 1:
        pattern = after[0].output
    return Softmax(scores, pattern, masks, reduced_axes(total.eqn)[0])


def _unmasked(value: Value) -> Value:
    """`value` before a part of it was set to a constant."""
    value = source(value)
    if value.op is not None and value.op.name == "select_n":
        cases = [each for each in value.op.inputs[1:] if not each.constant]
        if len(cases) == 1:
            return source(cases[0])
    return value
