"""Named axes of one value, followed back to the values that it was made from by moves alone."""

from darklantern.models.on_jax import internals
from darklantern.models.on_jax.axes import regrouped
from darklantern.models.on_jax.graph import IDENTITIES, Op, Value
from darklantern.models.on_jax.points import Named


def before(op: Op, named: Named) -> Named | None:
    """The axes of what `op` moved, given those of what it made; None where it did not only move them."""
    if op.name in IDENTITIES:
        return named
    if op.name == "transpose":
        order = internals.permutation(op.eqn)
        return tuple(named[order.index(place)] for place in range(len(order)))
    if op.name in ("reshape", "squeeze", "expand_dims"):
        return regrouped(named, op.inputs[0].shape)
    if op.name == "broadcast_in_dim":
        places = internals.spread_axes(op.eqn)
        sizes = op.inputs[0].shape
        return tuple(named[place] if size != 1 else () for place, size in zip(places, sizes, strict=True))
    return None


def after(op: Op, named: Named) -> Named | None:
    """The axes of what `op` made, given those of its first operand that is no constant."""
    if op.name == "transpose":
        return tuple(named[place] for place in internals.permutation(op.eqn))
    if op.name in ("reshape", "squeeze", "expand_dims"):
        return regrouped(named, op.output.shape)
    moved = next((value for value in op.inputs if not value.constant), None)
    if moved is not None and moved.shape == op.output.shape:
        return named
    return None


def scaled_by_number(op: Op) -> Value | None:
    """What `op` multiplies or divides by one constant number, if that is what it does."""
    if op.name not in ("mul", "div"):
        return None
    left, right = op.inputs
    if right.is_scalar or _filled(right):
        return left
    return right if op.name == "mul" and (left.is_scalar or _filled(left)) else None


def _filled(value: Value) -> bool:
    """Whether all of a constant is one number."""
    while value.op is not None and value.constant and value.op.name in (*IDENTITIES, "broadcast_in_dim", "reshape"):
        value = value.op.inputs[0]
        if value.is_scalar:
            return True
    return False
