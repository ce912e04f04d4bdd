"""Queries and keys before their rotary embedding: `q_pre` and `k_pre`.

A rotation reads a value several times (itself, and itself turned) and nothing else but positions: so what goes in is
the one value through which all ways lead, back from the query, with several ways on the way.
"""

from collections.abc import Iterator, Sequence

from darklantern.models.on_jax.graph import IDENTITIES, Value, source
from darklantern.models.on_jax.points import Named, Point, view
from darklantern.models.on_jax.ports.attention import OF_HEADS, OF_KEYS, Attention, point
from darklantern.models.on_jax.ports.layout import before

_TURNING = IDENTITIES | {
    "mul", "add", "sub", "neg", "concatenate", "slice", "split", "reshape", "squeeze", "expand_dims", "transpose",
    "broadcast_in_dim", "rev", "gather", "select_n", "dynamic_slice", "roll", "stop_gradient",
}  # fmt: skip
_OF_POSITIONS = frozenset({"cos", "sin"})


def points(several: Sequence[Attention]) -> Iterator[Point]:
    for each in several:
        for port, (value, named), axes in (("q_pre", each.q, OF_HEADS), ("k_pre", each.k, OF_KEYS)):
            found = _unturned(value, named)
            made = None if found is None else view(found[1], axes, each.single)
            if found is not None and made is not None:
                how, names = made
                names = tuple("pos" if name == "key" else name for name in names)
                yield point(each.part, port, found[0], how, names)


def _unturned(value: Value, named: Named) -> tuple[Value, Named] | None:
    """The value that was turned to make this one, and its axes; None where none was."""
    value = source(value)
    # First through moves alone, so that both have as many axes.
    while value.op is not None and (earlier := before(value.op, named)) is not None:
        value, named = source(value.op.inputs[0]), earlier
    order: dict[int, Value] = {id(value): value}
    split = False
    while True:
        latest = max(order.values(), key=lambda each: -1 if each.op is None else each.op.number)
        if len(order) == 1 and split:
            return (latest, named) if latest.shape == value.shape else None
        op = latest.op
        if op is None or op.name not in _TURNING:
            return None
        del order[id(latest)]
        for each in op.inputs:
            each = source(each)
            if not each.constant and not _counts(each):
                order[id(each)] = each
        split = split or len(order) > 1
        if not order:
            return None


def _counts(value: Value) -> bool:
    """Whether it is made of positions: a cosine or a sine, however spread out."""
    while value.op is not None and len([each for each in value.op.inputs if not each.constant]) == 1:
        if value.op.name in _OF_POSITIONS:
            return True
        value = next(each for each in value.op.inputs if not each.constant)
    return False
