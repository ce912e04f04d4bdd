"""Attention: a softmax over keys of products of queries and keys, whose rows weigh values.

`q` and `k` are what the product is given, before a scale is applied to either; `k` and `v` before heads are repeated
for groups of query heads. `scores` go into the softmax, `pattern` comes out of it, `z` is what the product with the
values gives.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from darklantern.models.on_jax.axes import BATCH, FEATURE, kind
from darklantern.models.on_jax.graph import IDENTITIES, Graph, Op, Value, source, users
from darklantern.models.on_jax.internals import contraction
from darklantern.models.on_jax.outline import Part, Place
from darklantern.models.on_jax.points import Named, Point, View, view
from darklantern.models.on_jax.ports.layout import after, before, scaled_by_number
from darklantern.models.on_jax.ports.softmaxes import Softmax, softmaxed

OF_HEADS = (("batch",), ("pos",), ("head", "group"), ("dim",))
OF_KEYS = (("batch",), ("key",), ("head",), ("dim",))
_OF_SCORES = (("batch",), ("head", "group"), ("pos",), ("key",))
_MOST = 40
"""operations between the product of queries and keys and the softmax, or the softmax and the values' product"""


@dataclass(eq=False)
class Attention:
    """One attention, as the values between its operations and the names of their axes."""

    part: Part
    softmax: Softmax
    named: Named
    """the axes of scores and pattern"""
    product: Op
    q: tuple[Value, Named]
    k: tuple[Value, Named]
    v: tuple[Value, Named]
    z: tuple[Value, Named]
    single: frozenset[str]
    """the names of axes that have one entry, which moves may drop"""


def found(graph: Graph) -> list[Attention]:
    """Every attention in the flow of one body."""
    return [made for op in graph.ops if (made := _attention(op)) is not None]


def points(several: list[Attention]) -> Iterator[Point]:
    """The ports of each."""
    for each in several:
        for port, (value, named), axes in (
            ("q", each.q, OF_HEADS),
            ("k", each.k, OF_KEYS),
            ("v", each.v, OF_KEYS),
            ("scores", (each.softmax.scores, each.named), _OF_SCORES),
            ("pattern", (each.softmax.pattern, each.named), _OF_SCORES),
            ("z", each.z, OF_HEADS),
        ):
            viewed = view(named, axes, each.single)
            if viewed is None:
                continue
            how, names = viewed
            names = tuple("pos" if name == "key" and port in ("k", "v") else name for name in names)
            if not each.softmax.masks or port not in ("scores", "pattern"):
                yield point(each.part, port, value, how, names)
            elif (beside := each.softmax.pattern.beside(each.softmax.scores)) is not None:
                made = point(each.part, port, value, how, names)
                yield _masked(made, each.softmax, how, *beside) if port == "scores" else replace(made, place=beside[0])


def point(part: Part, port: str, value: Value, how: View, names: tuple[str, ...]) -> Point:
    """The point of a value that a view shows."""
    aval = jax.ShapeDtypeStruct(how.joined, value.aval.dtype)
    return Point(
        part.path, port, "", value.place, part.loops, names, aval, "in the data flow", part.branch, value.custom,
        how.shown, how.hidden,
    )  # fmt: skip


def _masked(scores: Point, softmax: Softmax, how: View, place: Place, reads: tuple[Place, ...]) -> Point:
    """The scores of a softmax that masks by itself (`where=`): to change them, their softmax takes the pattern's place.

    Else it would mask once more what an edit has unmasked.
    """

    def shown(_: Any, scores: Any) -> Any:
        return how.shown(scores)

    def hidden(new: Any, pattern: Any, scores: Any) -> Any:
        turned = how.hidden(new, scores)
        # A query that may see nothing has a pattern of zeros there, not of NaN.
        blind = jnp.all(turned == -jnp.inf, softmax.axis, keepdims=True)
        made = jax.nn.softmax(jnp.where(blind, 0, turned), softmax.axis)
        return jnp.where(blind, 0, made).astype(pattern.dtype)

    return replace(scores, place=place, shown=shown, hidden=hidden, reads=reads, early=True)


def inside(attention: Attention) -> list[Value]:
    """The values between the product of queries and keys and the pattern."""
    found: dict[int, Value] = {}
    waiting = [attention.softmax.pattern]
    while waiting:
        value = waiting.pop()
        if id(value) not in found and not value.constant:
            found[id(value)] = value
            if value.op is not None and value.op is not attention.product:
                waiting += value.op.inputs
    return list(found.values())


def _attention(op: Op) -> Attention | None:
    """The attention whose softmax ends in `op`."""
    softmax = softmaxed(op)
    if softmax is None or softmax.scores.constant:
        return None
    product = _product(softmax.scores)
    if product is None:
        return None
    named = _forward(product, softmax.scores)
    return None if named is None else _joined(softmax, product, named)


def _product(score: Value) -> Op | None:
    """The one product of two values that are no weights on the way back from `score`."""
    seen: set[int] = set()
    waiting, found = [score], []
    while waiting and len(seen) < _MOST:
        value = waiting.pop()
        if id(value) in seen or value.op is None or value.constant:
            continue
        seen.add(id(value))
        if value.op.name == "dot_general":
            if not any(each.constant for each in value.op.inputs):
                found.append(value.op)
            continue
        if value.op.name in _BETWEEN:
            waiting += value.op.inputs
    return found[0] if len(found) == 1 else None


_BETWEEN = IDENTITIES | {
    "mul", "div", "add", "add_any", "sub", "neg", "select_n", "transpose", "reshape", "squeeze", "expand_dims", "tanh",
    "max", "min", "clamp",
}  # fmt: skip
"""what may happen to scores between product and softmax: scale, bias, mask, cap, moves"""


def _names(product: Op) -> Named:
    """The product's axes, one name each: what both operands have is `both…`, and what one has is `free…`."""
    count = len(contraction(product.eqn).shared[0])
    names = [f"both{place}" if place < count else f"free{place}" for place in range(len(product.output.shape))]
    return tuple(((name, size),) for name, size in zip(names, product.output.shape, strict=True))


def _forward(product: Op, score: Value) -> Named | None:
    """The names of the scores' axes, each by the product's axis that it is."""
    way = _way(product.output, score)
    named: Named | None = _names(product)
    for op in way or ():
        named = None if named is None else after(op, named)
    return None if way is None else named


def _way(start: Value, end: Value) -> list[Op] | None:
    """The operations from `start` to `end`."""
    waiting: list[tuple[Value, list[Op]]] = [(end, [])]
    seen: set[int] = set()
    while waiting:
        value, behind = waiting.pop()
        if value is start:
            return behind
        if value.op is None or id(value) in seen or len(seen) > _MOST:
            continue
        seen.add(id(value))
        waiting += [(each, [value.op, *behind]) for each in value.op.inputs if not each.constant]
    return None


def _joined(softmax: Softmax, product: Op, named: Named) -> Attention | None:
    # 1. Which operand has the keys.
    sides = _sides(product, named[softmax.axis])
    if sides is None:
        return None
    of_queries, key = sides

    # 2. What the product's axes are: examples, heads, groups of heads that share keys, positions.
    rows = _of_rows(product, of_queries)
    if rows is None:
        return None
    names = {key: "key"} | _of_shared(product) | rows
    if "head" not in names.values():  # all heads share one key: then they are no groups of heads, but the heads
        names = {axis: "head" if name == "group" else name for axis, name in names.items()}

    # 3. The same names on the operands, and on what the pattern weighs.
    own = _of_operands(product, _renamed(_names(product), names))
    of_scores = _renamed(named, names)
    weighing = _weighing(softmax.pattern, of_scores)
    if weighing is None:
        return None
    last, of_values, of_z, values = weighing
    return Attention(
        _common(product.part, last.part),
        softmax,
        of_scores,
        product,
        _unscaled(product.inputs[of_queries], own[of_queries]),
        _unrepeated(*_unscaled(product.inputs[1 - of_queries], own[1 - of_queries])),
        _unrepeated(values, of_values),
        (last.output, of_z),
        frozenset(name for axes in (*own, of_z) for axis in axes for name, size in axis if size == 1),
    )


def _frees(product: Op) -> list[list[int]]:
    """Of each operand, the axes that the other one does not meet."""
    numbers = contraction(product.eqn)
    return [numbers.free(operand, len(value.shape)) for operand, value in enumerate(product.inputs)]


def _sides(product: Op, along: Sequence[tuple[str, int]]) -> tuple[int, str] | None:
    """Which operand has the queries, and which of the product's axes the keys: the one the softmax runs `along`."""
    numbers, frees = contraction(product.eqn), _frees(product)
    if len(along) != 1 or len(numbers.summed[0]) != 1:
        return None
    ((key, _),) = along
    if not key.startswith("free"):
        return None
    place = int(key.removeprefix("free")) - len(numbers.shared[0])
    of_keys = 0 if place < len(frees[0]) else 1
    return (1 - of_keys, key) if len(frees[of_keys]) == 1 else None


def _of_shared(product: Op) -> dict[str, str]:
    """What the axes are that queries and keys both have: examples and heads, as their flow says, or else in order."""
    left, right = product.inputs
    shared = contraction(product.eqn).shared
    kinds = [max(kind(left.axes[a]), kind(right.axes[b]), key=_certain) for a, b in zip(*shared, strict=True)]
    told = ["batch" if what == BATCH else "head" if what == FEATURE else "" for what in kinds]
    if "" in told or len(set(told)) < len(told):
        return _by_order(len(told))
    return {f"both{number}": name for number, name in enumerate(told)}


def _of_rows(product: Op, of_queries: int) -> dict[str, str] | None:
    """What the axes are that queries have alone: positions, and groups of heads where several share their keys."""
    frees = _frees(product)
    rows = frees[of_queries]
    offset = len(contraction(product.eqn).shared[0]) + (len(frees[0]) if of_queries else 0)
    if len(rows) == 1:
        return {f"free{offset}": "pos"}
    if len(rows) != 2:
        return None
    # Positions are data, groups of heads are features; of one entry each may say nothing, and then comes second.
    features = [kind(product.inputs[of_queries].axes[place]) == FEATURE for place in rows]
    of_positions = features.index(False) if features.count(True) == 1 else 0
    return {f"free{offset + number}": "pos" if number == of_positions else "group" for number in range(2)}


def _renamed(axes: Named, names: Mapping[str, str]) -> Named:
    return tuple(tuple((names[name], size) for name, size in axis) for axis in axes)


def _of_operands(product: Op, of_product: Named) -> list[Named]:
    """The axes of both operands, given those of what they make."""
    numbers, frees = contraction(product.eqn), _frees(product)
    count = len(numbers.shared[0])
    made = []
    for operand, value in enumerate(product.inputs):
        axes: list[tuple[tuple[str, int], ...]] = [()] * len(value.shape)
        (summed,) = numbers.summed[operand]
        axes[summed] = (("dim", value.shape[summed]),)
        start = count + (len(frees[0]) if operand else 0)
        places = [*range(count), *range(start, start + len(frees[operand]))]
        for place, at in zip(places, (*numbers.shared[operand], *frees[operand]), strict=True):
            axes[at] = of_product[place]
        made.append(tuple(axes))
    return made


def _certain(what: str) -> int:
    return {BATCH: 2, FEATURE: 1}.get(what, 0)


def _by_order(count: int) -> dict[str, str]:
    """Where the flow does not tell: examples first, heads second."""
    return {
        f"both{number}": name
        for number, name in zip(range(count), ("batch", "head")[2 - min(count, 2) :], strict=False)
    }


def _common(one: Part, other: Part) -> Part:
    """The innermost part that holds both."""
    above = []
    walk: Part | None = one
    while walk is not None:
        above.append(walk)
        walk = walk.above
    walk = other
    while walk is not None and walk not in above:
        walk = walk.above
    return walk or one


def _unscaled(value: Value, named: Named) -> tuple[Value, Named]:
    """`value` before it is multiplied by a scale, if it is."""
    walked, axes = source(value), named
    while walked.op is not None:
        scaled = scaled_by_number(walked.op)
        if scaled is not None:
            return source(scaled), axes
        earlier = before(walked.op, axes)
        if earlier is None:
            break
        walked, axes = source(walked.op.inputs[0]), earlier
    return source(value), named


def _unrepeated(value: Value, named: Named) -> tuple[Value, Named]:
    """Keys or values before their heads are repeated, if they are."""
    walked, axes = value, named
    while walked.op is not None:
        op = walked.op
        if op.name == "broadcast_in_dim" and not op.inputs[0].constant:
            earlier = before(op, axes)
            sizes = {name: size for axis in earlier or () for name, size in axis}
            if earlier is not None and sizes.get("head", 1) < _heads(named):
                return op.inputs[0], earlier
        earlier = before(op, axes)
        if earlier is None:
            break
        walked, axes = op.inputs[0], earlier
    return value, named


def _heads(named: Named) -> int:
    return next((size for axis in named for name, size in axis if name == "head"), 1)


def _weighing(pattern: Value, named: Named) -> tuple[Op, Named, Named, Value] | None:
    """The product of the pattern with the values: it, the values' axes, the result's, and the values."""
    waiting: list[tuple[Value, Named]] = [(pattern, named)]
    steps = 0
    while waiting and steps < _MOST:
        value, axes = waiting.pop(0)
        steps += 1
        for op in users(value):
            operand = next((n for n, each in enumerate(op.inputs) if source(each) is source(value)), None)
            if operand is None:
                continue
            if op.name == "dot_general":
                made = _weighed(op, operand, axes)
                if made is not None:
                    return made
            elif op.name in _DROPPED:
                turned = after(op, axes)
                if turned is not None:
                    waiting.append((op.output, turned))
    return None


_DROPPED = frozenset({"mul", "div", "select_n", "transpose", "reshape", "squeeze", "expand_dims"})
"""what may happen to a pattern before it weighs values: dropout, moves"""


def _weighed(op: Op, operand: int, named: Named) -> tuple[Op, Named, Named, Value] | None:
    numbers, other = contraction(op.eqn), 1 - operand
    used, both = numbers.summed[operand], numbers.shared[operand]
    values = op.inputs[other]
    if values.constant or len(used) != 1 or [name for name, _ in named[used[0]]] != ["key"]:
        return None
    axes: list[tuple[tuple[str, int], ...]] = [()] * len(values.shape)
    axes[numbers.summed[other][0]] = named[used[0]]
    for here, there in zip(both, numbers.shared[other], strict=True):
        axes[there] = named[here]
    free = numbers.free(other, len(values.shape))
    if len(free) != 1:
        return None
    axes[free[0]] = (("dim", values.shape[free[0]]),)
    mine = [named[place] for place in numbers.free(operand, len(named))]
    theirs = [axes[free[0]]]
    shared = [named[place] for place in both]
    of_z = tuple([*shared, *(mine + theirs if operand == 0 else theirs + mine)])
    return op, tuple(axes), of_z, values
