"""Softmaxes in the data flow: exponentials over their own sum, with a mask or without."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from darklantern.models.on_jax.graph import Graph, Op, Value, source, users
from darklantern.models.on_jax.internals import cut, joined_axis, reduced_axes


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
    axis = reduced_axes(total.eqn)[0]
    return _without_sink(Softmax(scores, pattern, masks, axis))


def _without_sink(whole: Softmax) -> Softmax:
    """Of scores that stand beside weights (an attention sink), the scores, and their part of what comes out.

    Rows of such a pattern sum to less than one: the rest goes to the sink.
    """
    op, uses = whole.scores.op, list(users(whole.pattern))
    if op is None or op.name != "concatenate" or joined_axis(op.eqn) != whole.axis:
        return whole
    scores = [value for value in op.inputs if not value.constant]
    first = sum(value.shape[whole.axis] for value in op.inputs[: op.inputs.index(scores[0])]) if len(scores) == 1 else 0
    cuts = [cut(use.eqn) if use.name == "slice" else None for use in uses]
    if len(scores) != 1 or len(cuts) != 1 or cuts[0] is None:
        return whole
    wanted = tuple(
        (first, first + size) if place == whole.axis else (0, size) for place, size in enumerate(scores[0].shape)
    )
    return replace(whole, scores=source(scores[0]), pattern=uses[0].output) if cuts[0] == wanted else whole


def inside(graph: Graph) -> Iterator[Value]:
    """The exponentials of all softmaxes and what goes into them: what is done there activates nothing."""
    for op in graph.ops:
        if softmaxed(op) is not None:
            exponentials = source(op.inputs[0])
            assert exponentials.op is not None
            yield from (exponentials, *map(source, exponentials.op.inputs), *exponentials.op.inputs)


def _unmasked(value: Value) -> Value:
    """`value` before a part of it was set to a constant."""
    value = source(value)
    if value.op is not None and value.op.name == "select_n":
        cases = [each for each in value.op.inputs[1:] if not each.constant]
        if len(cases) == 1:
            return source(cases[0])
    return value
