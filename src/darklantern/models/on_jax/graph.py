"""The data flow of a jaxpr: values, the operations between them, and what each axis of a value comes from.

What jitted functions, checkpoints and functions with derivatives of their own hold is seen through; bodies of loops and
branches are graphs of their own, joined to the one around them by what goes in. Nothing here is run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from darklantern.models.on_jax import internals
from darklantern.models.on_jax.axes import Axes, Lengths, kept, of_constant, of_inputs, of_weights, through
from darklantern.models.on_jax.internals import Jaxpr, Literal
from darklantern.models.on_jax.marks import MARKED, MARKS, enter_p
from darklantern.models.on_jax.outline import Address, Outline, Part, Place

IDENTITIES = frozenset({"darklantern_site", "name", "convert_element_type", "copy", "optimization_barrier",
                        "reduce_precision", "pvary", "copy_p"})  # fmt: skip
"""operations that hand on what they are given, but for its precision"""


@dataclass(eq=False)
class Value:
    """One value in the flow."""

    aval: Any
    axes: Axes
    """what each axis comes from"""
    constant: bool
    """computed from weights and constants alone"""
    op: "Op | None" = None
    """what computes it; None for what goes into the graph"""
    users: list["Op"] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    """where it is defined, and where the calls around that return it, from the inside out"""
    handed: list[Place] = field(default_factory=list)
    """where calls are given it"""
    returned: bool = False
    """it leaves the graph"""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.aval.shape)

    @property
    def place(self) -> Place:
        """Where it is read and changed: where it is defined, or behind a function with a derivative of its own."""
        return self._seen[0]

    @property
    def custom(self) -> tuple[Address, ...]:
        """The functions with derivatives of their own that have to be opened up for that."""
        return self._seen[1]

    @property
    def _seen(self) -> tuple[Place, tuple[Address, ...]]:
        rules = self._rules
        for place in self.places:
            around = tuple(rule for rule in rules if place.address[: len(rule)] == rule)
            if not around:
                return place, ()
        return self.places[0], rules

    def at(self, address: Address) -> Place | None:
        """Where it stands in the jaxpr at `address`, if it does."""
        return next((place for place in (*self.places, *self.handed) if place.address == address), None)

    def beside(self, *others: "Value") -> tuple[Place, tuple[Place, ...]] | None:
        """Where it can be changed in sight of others, and where those stand there; None where that is nowhere."""
        for place in self.places[self.places.index(self.place) :]:
            reads = [other.at(place.address) for other in others]
            found = tuple(read for read in reads if read is not None and read.eqn <= place.eqn)
            if len(found) == len(others):
                return place, found
        return None

    @property
    def _rules(self) -> tuple[Address, ...]:
        return () if self.op is None else self.op.custom

    @property
    def is_scalar(self) -> bool:
        """One number, a constant."""
        return self.constant and all(size == 1 for size in self.shape)


@dataclass(eq=False)
class Op:
    """One operation."""

    name: str
    eqn: Any
    """which `internals` says more about"""
    inputs: list[Value]
    outputs: list[Value]
    part: Part
    place: Place
    custom: tuple[Address, ...]
    """the functions with derivatives of their own that it lies in"""
    number: int
    """its place in the order of operations"""

    @property
    def output(self) -> Value:
        return self.outputs[0]


@dataclass(eq=False)
class Graph:
    """The flow of one jaxpr: of the model, or of a loop's body."""

    ops: list[Op] = field(default_factory=list)


def graphs(jaxpr: Jaxpr, weights: int, found: Outline) -> list[Graph]:
    """The flow of a jaxpr whose first `weights` inputs are the model's weights, and of each body in it."""
    parts = {(part.address, part.first): part for part in found.parts}
    root = Part((), (), -1, (), None, False)
    avals = [v.aval for v in jaxpr.invars]
    axes, lengths = of_inputs(avals[weights:])
    made = _Making(parts, found.bodies, lengths)
    inputs = [Value(aval, of_weights(aval), True) for aval in avals[:weights]]
    inputs += [Value(aval, each, False) for aval, each in zip(avals[weights:], axes, strict=True)]
    graph = made.graph()
    outputs = made.through(graph, jaxpr, (), inputs, root, ())
    for value in outputs:
        value.returned = True
    made.drop_watched()
    return made.graphs


class _Making:
    def __init__(self, parts: dict[tuple[Address, int], Part], bodies: dict[Address, Part], lengths: Lengths) -> None:
        self.parts = parts
        self.bodies = bodies
        self.lengths = lengths
        self.graphs: list[Graph] = []
        self.watched: list[Value] = []
        """what was only looked at, as by jax.debug.print"""

    def drop_watched(self) -> None:
        """Leave out what is computed to be looked at alone: nothing flows on from it."""
        dropped = set()
        while self.watched:
            op = self.watched.pop().op
            if op is None or op.name in MARKED or any(each.users or each.returned for each in op.outputs):
                continue
            dropped.add(id(op))
            for value in op.inputs:
                value.users = [user for user in value.users if user is not op]
            self.watched += op.inputs
        for graph in self.graphs:
            graph.ops = [op for op in graph.ops if id(op) not in dropped]

    def graph(self) -> Graph:
        self.graphs.append(Graph())
        return self.graphs[-1]

    def through(
        self,
        graph: Graph,
        jaxpr: Jaxpr,
        address: Address,
        inputs: Sequence[Value],
        part: Part,
        custom: tuple[Address, ...],
    ) -> list[Value]:
        """Add a jaxpr's operations to `graph`; what it returns."""
        env = {v: Value(v.aval, of_constant(v.aval, self.lengths), True) for v in jaxpr.constvars}
        for number, (v, value) in enumerate(zip(jaxpr.invars, inputs, strict=True)):
            env[v] = value
            (value.handed if value.places else value.places).append(Place(address, -1, number))

        def read(v: Any) -> Value:
            return Value(v.aval, of_constant(v.aval, self.lengths), True) if isinstance(v, Literal) else env[v]

        outermost = part
        for number, eqn in enumerate(jaxpr.eqns):
            if eqn.primitive in MARKS:
                if eqn.primitive is enter_p:
                    part = self.parts.get((address, number)) or _nowhere(part)
                elif part is not outermost and part.above is not None:
                    part = part.above
                continue
            is_call = eqn.primitive.name in internals.CALLS or internals.is_remat(eqn)
            made = (self._called if is_call else self._op)(
                graph, eqn, [read(v) for v in eqn.invars], Place(address, number, 0), part, custom
            )
            env.update(zip(eqn.outvars, made, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def _called(
        self, graph: Graph, eqn: Any, given: list[Value], place: Place, part: Part, custom: tuple[Address, ...]
    ) -> list[Value]:
        """What is called, seen through: its operations are the graph's own."""
        (called,) = internals.inner(eqn)
        own = (*place.address, (place.eqn, called.key))
        rules = (*custom, own) if eqn.primitive.name in internals.CUSTOM else custom
        outputs = self.through(graph, called.jaxpr, own, given, part, rules)
        # A call may hand on what it was given: then that is the value, and it has no new place.
        for number, value in enumerate(outputs):
            if value.op is not None:
                value.places.append(Place(place.address, place.eqn, number))
        return outputs

    def _op(
        self, graph: Graph, eqn: Any, given: list[Value], place: Place, part: Part, custom: tuple[Address, ...]
    ) -> list[Value]:
        constant = all(value.constant for value in given)
        bodies = [self._body(eqn, inside, given, place, part) for inside in internals.inner(eqn)]
        avals = [v.aval for v in eqn.outvars]
        if bodies:
            axes = [kept(value.axes, aval) for value, aval in zip(bodies[0], avals, strict=True)]
        else:
            axes = through(eqn, [value.axes for value in given], constant, self.lengths)
        outputs = [
            Value(aval, each, constant, places=[Place(place.address, place.eqn, number)])
            for number, (aval, each) in enumerate(zip(avals, axes, strict=True))
        ]
        if not outputs:
            self.watched += given
            return []
        made = Op(eqn.primitive.name, eqn, given, outputs, part, place, custom, len(graph.ops))
        for value in given:
            value.users.append(made)
        for value in outputs:
            value.op = made
        graph.ops.append(made)
        return outputs

    def _body(self, eqn: Any, inside: internals.Inner, given: list[Value], place: Place, part: Part) -> list[Value]:
        """The body of a loop, or a branch, as a graph of its own; what it returns."""
        name = eqn.primitive.name
        if name == "while":
            loop = internals.while_loop(eqn)
            entering = _carried(given[loop.condition_consts :], loop.body_consts)
        elif name == "cond":
            entering = given[1:]
        elif name == "scan":
            loop_ = internals.scan(eqn)
            sliced = given[loop_.consts + loop_.carry :]
            entering = _carried(given[: loop_.consts + loop_.carry], loop_.consts) + sliced
        else:
            entering = given
        inputs = [
            Value(v.aval, kept(value.axes, v.aval), value.constant)
            for v, value in zip(inside.jaxpr.invars, entering, strict=True)
        ]
        address = (*place.address, (place.eqn, inside.key))
        part = self.bodies.get(address, part)
        outputs = self.through(self.graph(), inside.jaxpr, address, inputs, part, ())
        for value in outputs:
            value.returned = True
        return outputs


def _carried(given: list[Value], consts: int) -> list[Value]:
    """What a loop is given, with what it carries no constant: the next iteration may carry anything."""
    return [*given[:consts], *(Value(value.aval, value.axes, False) for value in given[consts:])]


def _nowhere(part: Part) -> Part:
    """A part without a value of its own, which the outline left out."""
    return Part(part.path, part.address, -1, part.loops, part, part.branch)


def source(value: Value) -> Value:
    """`value` before everything that only handed it on."""
    while value.op is not None and value.op.name in IDENTITIES:
        value = value.op.inputs[0]
    return value


def users(value: Value) -> Iterator[Op]:
    """What computes with `value`, also with what only hands it on."""
    for op in value.users:
        if op.name in IDENTITIES:
            yield from users(op.output)
        else:
            yield op
