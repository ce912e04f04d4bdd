"""What the axes of a value come from, followed through a model's equations.

Each axis is a row of factors, (what, how many): a reshape that splits or joins axes splits or joins the row. Of a
model's first input the first axis counts examples (`batch`) and the others what each example has (`data`: positions,
rows, columns); axes of weights are `feature`s. So a `(2, 7, 4, 8)` whose axes are batch, data, feature, feature is
`batch pos head dim`, and not by its rank. Another input's axis is what the axis of its length in the first one is. What
cannot be followed, and what may be one thing or another, is unknown, and named by no guess.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import jax.numpy as jnp

from darklantern.models.on_jax import internals

Factor = tuple[str, int]
Axis = tuple[Factor, ...]
Axes = tuple[Axis, ...]
Lengths = Mapping[int, str]
"""what an axis of a length is in a model's first input; unknown where several things are that long"""

BATCH, DATA, FEATURE, CHANNEL, UNKNOWN = "batch", "data", "feature", "channel", "unknown"
MIXED = "mixed"
"""what weights make of positions, each feature for itself: neither positions nor features"""
COUNTED = "counted"
"""0, 1, 2, … as many as there are positions: these, if features are looked up by them, but it may be another count"""


def of_weights(aval: Any) -> Axes:
    """Axes of a weight."""
    return _each([FEATURE] * len(_shape(aval)), aval)


def of_constant(aval: Any, lengths: Lengths) -> Axes:
    """Axes of an array that the model's code holds: a weight if it has fractions; whole numbers count something."""
    return of_weights(aval) if jnp.issubdtype(aval.dtype, jnp.inexact) else _counted(aval, lengths)


def _counted(aval: Any, lengths: Lengths) -> Axes:
    return _each([COUNTED if lengths.get(size) == DATA else UNKNOWN for size in _shape(aval)], aval)


def of_inputs(avals: Sequence[Any]) -> tuple[list[Axes], Lengths]:
    """Axes of what a model takes, and what lengths say there.

    The first input that looks like examples says how many there are; another's axes are told by their lengths. A `(5,)`
    beside `(2, 5)` has positions; beside `(5, 5)` nobody can tell.
    """
    first = min(
        (place for place, aval in enumerate(avals) if _shape(aval)), key=lambda n: _doubts(avals[n]), default=-1
    )
    if first < 0:
        return [() for _ in avals], {}
    axes = _of_first(avals[first])
    lengths: dict[int, str] = {}
    for ((what, size),) in axes:
        lengths[size] = what if lengths.get(size, what) == what else UNKNOWN
    return [axes if place == first else _beside(aval, lengths) for place, aval in enumerate(avals)], lengths


def _doubts(aval: Any) -> tuple[bool, ...]:
    """What speaks against examples: masks are truths, or have an axis twice; positions and lengths have one axis."""
    truths, rank, square = jnp.issubdtype(aval.dtype, jnp.bool_), len(_shape(aval)), _is_square(aval)
    mask = rank == 2 and square and jnp.issubdtype(aval.dtype, jnp.inexact)
    return truths, rank == 1 or mask, square


def _is_square(aval: Any) -> bool:
    """Whether it may hold something for each position and each position: a mask, a bias."""
    return _shape(aval)[-2:-1] == _shape(aval)[-1:]


def _of_first(aval: Any) -> Axes:
    """Examples first, features last unless the values are whole numbers.

    Of four axes, images, a convolution says which of the others counts channels.
    """
    shape = _shape(aval)
    kinds = [BATCH, *[DATA if len(shape) < 4 else UNKNOWN] * (len(shape) - 1)]
    if 1 < len(shape) < 4 and jnp.issubdtype(aval.dtype, jnp.inexact):
        kinds[-1] = FEATURE
    return tuple(((kind, size),) for kind, size in zip(kinds, shape, strict=True))


def _beside(aval: Any, lengths: Lengths) -> Axes:
    """Axes of another input than the first."""
    shape = _shape(aval)
    kinds = [lengths.get(size, UNKNOWN) for size in shape]
    if kinds[:1] == [BATCH] and not _is_square(aval):  # as many examples, and for each whatever it is
        return _each([what for ((what, _),) in _of_first(aval)], aval)
    last = len(shape) - 1 if jnp.issubdtype(aval.dtype, jnp.inexact) else None
    sure = [what == DATA or (what == FEATURE and place == last) for place, what in enumerate(kinds)]
    return _each([what if is_sure else UNKNOWN for what, is_sure in zip(kinds, sure, strict=True)], aval)


def _each(kinds: Sequence[str], aval: Any) -> Axes:
    """Axes of one kind each, but for those of one entry, which say nothing."""
    return tuple(((what, size),) if size != 1 else () for what, size in zip(kinds, _shape(aval), strict=True))


def unknown(aval: Any) -> Axes:
    return _each([UNKNOWN] * len(_shape(aval)), aval)


def kept(axes: Axes, aval: Any) -> Axes:
    """`axes` for a value of `aval`, on the way into a loop or out of it: one may be gone in front, or be new there."""
    shape = _shape(aval)
    if len(shape) == len(axes) + 1:
        axes = (((UNKNOWN, shape[0]),), *axes)
    return _sized(axes[max(0, len(axes) - len(shape)) :], shape)


def kind(axis: Axis) -> str:
    """The one kind of an axis; `token` for examples and positions in one row, unknown for other mixtures."""
    kinds = {what for what, _ in axis}
    if kinds == {BATCH, DATA}:
        return "token"
    return kinds.pop() if len(kinds) == 1 else UNKNOWN


def regrouped(axes: Axes, shape: Sequence[int]) -> Axes | None:
    """The same factors in a value of another shape; None where they do not divide into it."""
    factors = [factor for axis in axes for factor in axis if factor[1] != 1]
    made: list[Axis] = []
    for size in shape:
        row: list[Factor] = []
        left = size
        while left != 1:
            if not factors:
                return None
            what, count = factors.pop(0)
            if left % count == 0:
                row.append((what, count))
                left //= count
            elif count % left == 0:
                row.append((what, left))
                factors.insert(0, (what, count // left))
                left = 1
            else:
                return None
        made.append(tuple(row))
    return None if factors else tuple(made)


def through(eqn: Any, given: Sequence[Axes], constant: bool, lengths: Lengths) -> list[Axes]:
    """The axes of what an equation returns. It is `constant` where it is computed from weights and constants alone."""
    avals = [v.aval for v in eqn.outvars]
    if eqn.primitive.name == "iota":
        return [_counted(aval, lengths) for aval in avals]
    made = _RULES.get(eqn.primitive.name, _elementwise)(eqn, given)
    if made is None:
        kinds = {kind(axis) for axes in given for axis in axes if axis}
        return [of_weights(aval) if constant and kinds == {FEATURE} else unknown(aval) for aval in avals]
    return [_sized(axes, _shape(aval)) for axes, aval in zip(made, avals, strict=True)]


def _shape(aval: Any) -> tuple[int, ...]:
    return tuple(getattr(aval, "shape", ()))


def _sized(axes: Axes, shape: Sequence[int]) -> Axes:
    """`axes` with the sizes that the value has: what a slice or a concatenation left of one keeps its kind."""
    if len(axes) != len(shape):
        return tuple(((UNKNOWN, size),) if size != 1 else () for size in shape)
    return tuple(
        axis if prod(count for _, count in axis) == size else ((kind(axis) if axis else UNKNOWN, size),)
        for axis, size in zip(axes, shape, strict=True)
    )


def _joined(several: Sequence[Axes]) -> Axes:
    """What meets axis by axis: examples before positions before features before what is not known well."""
    return tuple(max(axes, key=_rank) for axes in zip(*several, strict=True))


_ORDER = {BATCH: 7, "token": 7, DATA: 6, MIXED: 5, CHANNEL: 4, FEATURE: 3, COUNTED: 2, UNKNOWN: 1}


def _rank(axis: Axis) -> tuple[bool, int, int]:
    return bool(axis), _ORDER[kind(axis)] if axis else 0, len(axis)


def _elementwise(eqn: Any, given: Sequence[Axes]) -> list[Axes] | None:
    made = []
    for v in eqn.outvars:
        rank = len(_shape(v.aval))
        alike = [
            axes
            for axes, read in zip(given, eqn.invars, strict=True)
            if len(axes) == rank and all(a in (1, b) for a, b in zip(_shape(read.aval), _shape(v.aval), strict=True))
        ]
        if not alike:
            return None
        made.append(_joined(alike))
    return made


def _transpose(eqn: Any, given: Sequence[Axes]) -> list[Axes]:
    return [tuple(given[0][number] for number in internals.permutation(eqn))]


def _reshape(eqn: Any, given: Sequence[Axes]) -> list[Axes] | None:
    made = regrouped(given[0], _shape(eqn.outvars[0].aval))
    return None if made is None else [made]


def _squeeze(eqn: Any, given: Sequence[Axes]) -> list[Axes]:
    gone = internals.squeezed_axes(eqn)
    return [tuple(axis for number, axis in enumerate(given[0]) if number not in gone)]


def _broadcast(eqn: Any, given: Sequence[Axes]) -> list[Axes]:
    shape = _shape(eqn.outvars[0].aval)
    made: list[Axis] = [((UNKNOWN, size),) if size != 1 else () for size in shape]
    for number, place in enumerate(internals.spread_axes(eqn)):
        if given[0][number]:
            made[place] = given[0][number]
    return [tuple(made)]


def _reduce(eqn: Any, given: Sequence[Axes]) -> list[Axes]:
    gone = internals.reduced_axes(eqn)
    return [tuple(axis for number, axis in enumerate(given[0]) if number not in gone) for _ in eqn.outvars]


def _dot(eqn: Any, given: Sequence[Axes]) -> list[Axes]:
    product = internals.contraction(eqn)
    shared = [_joined([(given[0][a],), (given[1][b],)])[0] for a, b in zip(*product.shared, strict=True)]
    free = [[axes[place] for place in product.free(operand, len(axes))] for operand, axes in enumerate(given)]
    for operand, other in ((0, 1), (1, 0)):
        mine, weights = [{kind(given[each][place]) for place in product.summed[each]} for each in (operand, other)]
        features = any(kind(axis) in (FEATURE, CHANNEL) for axis in free[operand] if axis)
        if mine in ({DATA}, {MIXED}) and weights == {FEATURE} and features:
            free[other] = [tuple((MIXED, size) for _, size in axis) for axis in free[other]]
    return [(*shared, *free[0], *free[1])]


def _conv(eqn: Any, given: Sequence[Axes]) -> list[Axes]:
    places = internals.convolution(eqn)
    shape = _shape(eqn.outvars[0].aval)
    made: list[Axis] = [((DATA, size),) for size in shape]
    made[places.examples[1]] = given[0][places.examples[0]]
    made[places.channels] = ((CHANNEL, shape[places.channels]),)
    return [tuple(made)]


def _gather(eqn: Any, given: Sequence[Axes]) -> list[Axes]:
    gather = internals.gathered(eqn)
    table = [axis for number, axis in enumerate(given[0]) if number not in gather.looked_up | gather.shared]
    rank = len(_shape(eqn.outvars[0].aval))
    places = dict(zip(gather.places, table, strict=True))
    rows = given[1][:-1]
    if all(not given[0][number] or kind(given[0][number]) == FEATURE for number in gather.looked_up):
        rows = tuple(((DATA, axis[0][1]),) if axis and kind(axis) == COUNTED else axis for axis in rows)
    rest = iter(rows)
    return [tuple(places[number] if number in places else next(rest) for number in range(rank))]


def _first(eqn: Any, given: Sequence[Axes]) -> list[Axes]:
    return [given[0] for _ in eqn.outvars]


def _concatenate(eqn: Any, given: Sequence[Axes]) -> list[Axes]:
    return [_joined(given)]


def _select(eqn: Any, given: Sequence[Axes]) -> list[Axes]:
    rank = len(given[1])
    return [_joined([axes for axes in given if len(axes) == rank])]


def _new(eqn: Any, _: Sequence[Axes]) -> None:
    return None


_RULES: dict[str, Any] = {
    "transpose": _transpose,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "broadcast_in_dim": _broadcast,
    **dict.fromkeys(
        ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin"),
        _reduce,
    ),
    "dot_general": _dot,
    "conv_general_dilated": _conv,
    "gather": _gather,
    **dict.fromkeys(
        ("slice", "dynamic_slice", "pad", "dynamic_update_slice", "split", "sort", "rev", "cumsum", "scatter",
         "scatter-add", "reduce_window_max", "reduce_window_sum"),
        _first,
    ),
    "concatenate": _concatenate,
    "select_n": _select,
    **dict.fromkeys(("random_bits", "random_wrap"), _new),
}  # fmt: skip
