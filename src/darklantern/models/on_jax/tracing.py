"""A model's jaxpr on inputs of some shapes, with its marks, and all the points in it."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from darklantern.errors import SiteError
from darklantern.models.calling import arguments
from darklantern.models.on_jax.adapters import Subject, called
from darklantern.models.on_jax.axes import Axes
from darklantern.models.on_jax.graph import Graph, graphs
from darklantern.models.on_jax.internals import Jaxpr, Tracer
from darklantern.models.on_jax.marks import MARKED, marking
from darklantern.models.on_jax.outline import Outline, outline, plain
from darklantern.models.on_jax.points import Point, named_axes
from darklantern.models.on_jax.ports import points
from darklantern.models.on_jax.spread import within
from darklantern.models.sameness import sameness
from darklantern.models.sites import AXES


@dataclass(frozen=True, eq=False)
class Given:
    """Inputs taken apart: arrays, and what a trace holds fixed."""

    arrays: list[Any]
    tree: Any
    fixed: tuple[tuple[int, Any], ...]
    """(place among the leaves, leaf)"""

    @classmethod
    def of(cls, inputs: Any) -> "Given":
        args, kwargs = arguments(inputs)
        leaves, tree = jax.tree.flatten((tuple(args), kwargs))
        fixed = tuple((place, leaf) for place, leaf in enumerate(leaves) if not _is_array(leaf))
        return cls([_array(leaf) for leaf in leaves if _is_array(leaf)], tree, fixed)

    def back(self, arrays: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, with these arrays."""
        rest, fixed = iter(arrays), dict(self.fixed)
        leaves = [fixed[place] if place in fixed else next(rest) for place in range(self.tree.num_leaves)]
        args, kwargs = jax.tree.unflatten(self.tree, leaves)
        return args, kwargs

    @property
    def key(self) -> Hashable:
        return (
            self.tree,
            sameness(self.fixed, _hashable),
            tuple(jax.typeof(each) if not _is_shape(each) else each for each in self.arrays),
        )


@dataclass(eq=False)
class Output:
    """How what a jaxpr returns becomes what the model returns."""

    tree: Any = None
    fixed: dict[int, Any] = field(default_factory=dict)

    def back(self, arrays: Any) -> Any:
        rest = iter(arrays)
        leaves = [self.fixed[n] if n in self.fixed else next(rest) for n in range(self.tree.num_leaves)]
        return jax.tree.unflatten(self.tree, leaves)


@dataclass(frozen=True, eq=False)
class Trace:
    """A model's jaxpr: its inputs are the weights' leaves, then the inputs'."""

    jaxpr: Jaxpr
    consts: list[Any]
    weights: int
    output: Output
    outline: Outline
    points: tuple[Point, ...]
    """in the order in which they are computed, as far as that is told"""


def trace(subject: Subject, weights: Any, given: Given) -> Trace:
    """Trace a model. Raises SiteError where a part was entered and its marks are not in the jaxpr."""
    leaves, tree = jax.tree.flatten(weights)
    output = Output()

    def flat(leaves: list[Any], arrays: list[Any]) -> list[Any]:
        args, kwargs = given.back(arrays)
        held = jax.tree.unflatten(tree, leaves)
        made = called(
            (),
            lambda *args, **kwargs: subject.call(held, *args, **kwargs),
            subject.signature,
            args,
            kwargs,
            subject.whole,
        )
        found, output.tree = jax.tree.flatten(made)
        output.fixed.update((place, leaf) for place, leaf in enumerate(found) if not _is_array(leaf))
        return [leaf for leaf in found if _is_array(leaf)]

    with marking() as marked:
        closed = jax.make_jaxpr(flat)(leaves, given.arrays)
    made = outline(closed.jaxpr, len(leaves), marked)
    _check_visible(set(marked.parts.values()) - {()}, made)
    flow = graphs(closed.jaxpr, len(leaves), made)
    found = [*_tagged(made, flow), *points(flow)]
    found = [within(point, made.shards, closed.jaxpr) for point in found]
    found.sort(key=lambda point: point.place.when())
    return Trace(closed.jaxpr, closed.consts, len(leaves), output, made, tuple(found))


def _tagged(made: Outline, flow: list[Graph]) -> list[Point]:
    axes = {op.place: op.output.axes for graph in flow for op in graph.ops if op.name in MARKED}
    return [
        Point(
            each.path, each.port, each.member, each.place, each.loops, _named(each.port, axes[each.place], each.aval),
            each.aval, "marked", each.branch,
            tuple(address for address, _ in made.custom if each.place.address[: len(address)] == address),
        )
        for each in made.tagged
    ]  # fmt: skip


def _named(port: str, axes: Axes, aval: Any) -> tuple[str, ...]:
    """A value that the model's own code marks has the axes of the port that it is called, if it has as many."""
    names = AXES.get(port, ())
    return names if len(names) == len(aval.shape) and port in AXES else named_axes(axes)


def _check_visible(entered: set[tuple[str, ...]], made: Outline) -> None:
    visible = {tuple(part for part in path if part != "*") for path in made.entered}
    lost = sorted(path for path in entered if tuple(part for part in path if part != "*") not in visible)
    if lost:
        names = ", ".join(".".join(path) or "the model itself" for path in lost[:3])
        told = next((why for (path, _), why in made.unreachable.items() if path in map(plain, lost)), None)
        raise SiteError(
            f"the model ran {names}, and what it computed there is not in its jaxpr" + (f": {told}" if told else ""),
            hint="open a function that returns what it takes the gradient of, and take the gradient of that: "
            "model.gradient(...)"
            if told and "gradient" in told
            else "it lies inside an opaque operation (a kernel, a callback), or nothing of it is an array",
        )


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | Tracer | np.generic) or _is_shape(leaf)


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _array(leaf: Any) -> Any:
    return jax.numpy.asarray(leaf) if isinstance(leaf, np.ndarray | np.generic) else leaf


def _hashable(leaf: Any) -> Hashable:
    try:
        hash(leaf)
    except TypeError as error:
        raise SiteError(
            f"expected arrays and plain values as inputs, got {type(leaf).__name__} {leaf!r:.60}",
            hint="arrays of JAX or NumPy, numbers, texts, and trees of them",
        ) from error
    return leaf
