"""What a model's jaxpr consists of, as its marks say: parts, loops around them, and the values that are tagged.

A scan whose iterations have weights of their own is a stack of layers: iteration 3 of `blocks` is `blocks.3`. A scan
or a while loop whose iterations share their weights is one part that is called several times.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from darklantern.models.on_jax import internals
from darklantern.models.on_jax.internals import Jaxpr, Literal
from darklantern.models.on_jax.marks import Marking, enter_p, leave_p, site_p

Path = tuple[str, ...]
Address = tuple[tuple[int, str], ...]
"""the way into nested jaxprs: (number of an equation, which of its jaxprs) and so on"""
NUMBER = "*"
"""stands in a path for the number of an iteration"""


@dataclass(frozen=True, eq=False)
class Loop:
    """A scan or a while loop."""

    address: Address
    """of its body"""
    length: int | None
    """how often it runs; None where that is not known before"""
    layers: bool
    """each iteration has weights of its own"""
    reverse: bool = False
    """the last iteration comes first"""


@dataclass(frozen=True)
class Shard:
    """A `jax.shard_map`, in whose body each device holds a piece of a value, or all of it."""

    address: Address
    """of its body"""
    axes: tuple[tuple[str, int], ...]
    """of the mesh, those over which it cuts, each with its number of devices; of a point, those over which it varies"""
    checked: bool
    """types say over which of them a value varies (`check_vma`)"""


@dataclass(frozen=True)
class Place:
    """Right behind equation `eqn` of the jaxpr at `address` (-1: at its beginning), a variable."""

    address: Address
    eqn: int
    var: int
    """which of the equation's outputs, or of the jaxpr's inputs"""

    def when(self, turns: Mapping[Address, float] | None = None) -> tuple[float, ...]:
        """When a value is there, in order: what an equation returns comes behind all that happens inside it.

        `turns` are the iterations of the loops around it, by their bodies' addresses.
        """
        order: list[float] = []
        for depth, (eqn, _) in enumerate(self.address, 1):
            order += [eqn, (turns or {}).get(self.address[:depth], 0)]
        return (*order, self.eqn + 0.5)


@dataclass(eq=False)
class Part:
    """One stretch of equations that a module's call, or a block of the user's code, left."""

    path: Path
    """with NUMBER for the iterations of layers"""
    address: Address
    first: int
    """the equation that enters it"""
    loops: tuple[Loop, ...]
    above: "Part | None"
    branch: bool
    """it may not run: it lies in a branch"""
    kind: str = ""
    """the class's name, of a module"""
    returns: bool = False
    """it marks what it returns"""
    number: int = -1
    """of its entrance"""
    last: int = -1


@dataclass(frozen=True, eq=False)
class Tagged:
    """A value that was marked as a site."""

    part: Part
    path: Path
    port: str
    member: str
    place: Place
    loops: tuple[Loop, ...]
    branch: bool
    aval: Any


@dataclass(eq=False)
class Outline:
    parts: list[Part] = field(default_factory=list)
    tagged: list[Tagged] = field(default_factory=list)
    entered: list[Path] = field(default_factory=list)
    """the paths of all parts whose marks are there"""
    custom: list[tuple[Address, str]] = field(default_factory=list)
    """functions with derivatives of their own, by the address of what they run"""
    shards: list[Shard] = field(default_factory=list)
    bodies: dict[Address, Part] = field(default_factory=dict)
    """of loops and branches, the part that their own equations belong to: the one around, in each iteration"""
    unreachable: dict[tuple[Path, str], str] = field(default_factory=dict)
    """by path without numbers, and port: why values that carry that mark cannot be reached"""


def outline(jaxpr: Jaxpr, weights: int, marking: Marking) -> Outline:
    """The outline of a jaxpr whose first `weights` inputs are the model's weights, and which `marking` marked."""
    made = Outline()
    root = Part((), (), -1, (), None, False, number=marking.root)
    own = dict.fromkeys(jaxpr.constvars, not weights) | dict.fromkeys(jaxpr.invars[:weights], True)
    walk = _Walk(made, marking)
    walk.through(jaxpr, (), root, (), own, False)
    walk.drop_strays()
    made.entered = [part.path for part in made.parts]
    # A framework may trace a body once only to see what it makes of constants: of that, parts are left that never
    # returned, or that hold nothing.
    returned = {id(each.part) for each in made.tagged if each.port == "out"}

    def is_whole(part: Part) -> bool:
        return all(id(each) in returned or not each.returns for each in _around(part) if each is not root)

    made.tagged = [each for each in made.tagged if is_whole(each.part)]
    held = {id(part) for tagged in made.tagged for part in _around(tagged.part)}
    held |= {id(around) for part in made.parts if part.last > part.first + 1 for around in _around(part)}
    made.parts = [part for part in made.parts if id(part) in held and is_whole(part)]
    return made


def plain(path: Path) -> Path:
    """A path without the numbers of layers, which marks may say or not."""
    return tuple(part for part in path if part != NUMBER and not part.isdigit())


def _around(part: Part | None) -> Iterator[Part]:
    while part is not None:
        yield part
        part = part.above


class _Walk:
    def __init__(self, made: Outline, marking: Marking) -> None:
        self.made = made
        self.marking = marking
        self.marks: list[tuple[Any, Tagged]] = []
        """the equation of each tagged value; what is shared by several calls stands there for each"""
        self.at_home: set[int] = set()
        """those equations that were met within the part that they were traced in"""

    def drop_strays(self) -> None:
        """What carries a mark of a part that is gone cannot be told from its like."""
        strays = [(eqn, tagged) for eqn, tagged in self.marks if id(eqn) not in self.at_home]
        for eqn, tagged in strays:
            path = (*self.marking.parts.get(eqn.params["within"], tagged.part.path), *_below(eqn))
            self.made.unreachable[plain(path), tagged.port] = (
                "the model takes a gradient of it inside itself, over a scan or jax.checkpoint, which JAX takes apart "
                "and leaves no names in"
            )
        gone = {id(tagged) for _, tagged in strays}
        self.made.tagged = [each for each in self.made.tagged if id(each) not in gone]

    def through(
        self, jaxpr: Jaxpr, address: Address, part: Part, loops: tuple[Loop, ...], own: dict[Any, bool], branch: bool
    ) -> None:
        """`own` are the variables that hold no inputs, each with whether a weight is in it."""
        outermost = part
        for number, eqn in enumerate(jaxpr.eqns):
            if eqn.primitive is enter_p:
                path = eqn.params["path"]
                path = path if eqn.params["absolute"] else part.path + path
                told = (eqn.params[name] for name in ("kind", "returns", "number"))
                part = Part(path, address, number, loops, part, branch, *told)
                self.made.parts.append(part)
            elif eqn.primitive is leave_p:
                if part is not outermost and part.above is not None:
                    part.last = number
                    part = part.above
            elif eqn.primitive is site_p or eqn.primitive.name == "name":
                self._tagged(eqn, Place(address, number, 0), part, loops, branch)
            for jaxpr_within in internals.hidden(eqn):
                self._hidden(eqn.primitive.name, jaxpr_within, part)
            inside = internals.inner(eqn)
            if all(isinstance(v, Literal) or v in own for v in eqn.invars):
                weighted = any(not isinstance(v, Literal) and own[v] for v in eqn.invars)
                own.update(dict.fromkeys(eqn.outvars, weighted))
            for each in inside:
                self._into(eqn, each, (*address, (number, each.key)), part, loops, own, branch)

    def _tagged(self, eqn: Any, place: Place, part: Part, loops: tuple[Loop, ...], branch: bool) -> None:
        params, aval = eqn.params, eqn.outvars[0].aval
        if eqn.primitive is not site_p:
            self.made.tagged.append(Tagged(part, part.path, str(params["name"]), "", place, loops, branch, aval))
            return
        path = part.path + _below(eqn)
        tagged = Tagged(part, path, params["port"], params["member"], place, loops, branch, aval)
        self.made.tagged.append(tagged)
        self.marks.append((eqn, tagged))
        if params["within"] == part.number:
            self.at_home.add(id(eqn))

    def _hidden(self, name: str, jaxpr: Jaxpr, part: Part) -> None:
        """Marks in what an equation computes in its own way."""
        for eqn in jaxpr.eqns:
            if eqn.primitive is site_p:
                path = (*self.marking.parts.get(eqn.params["within"], part.path), *_below(eqn))
                where = "the condition of a while loop" if name == "while" else f"{name}, which runs it in its own way"
                self.made.unreachable[plain(path), eqn.params["port"]] = f"it lies in {where}"
            for each in (*(inside.jaxpr for inside in internals.inner(eqn)), *internals.hidden(eqn)):
                self._hidden(name, each, part)

    def _into(
        self,
        eqn: Any,
        inside: internals.Inner,
        address: Address,
        part: Part,
        loops: tuple[Loop, ...],
        own: dict[Any, bool],
        branch: bool,
    ) -> None:
        name, jaxpr = eqn.primitive.name, inside.jaxpr
        # Of each operand, whether it has a weight in it; None where it has an input in it.
        mine = [False if isinstance(v, Literal) else own.get(v) for v in eqn.invars]
        if name in internals.CUSTOM:
            self.made.custom.append((address, internals.custom_name(eqn)))
        if name == "scan":
            scan = internals.scan(eqn)
            sliced = mine[scan.consts + scan.carry :]
            loop = Loop(address, scan.length, any(sliced), scan.reverse)
            mine = [*mine[: scan.consts], *(None for _ in range(scan.carry)), *sliced]
            self._body(address, part, (*loops, loop), branch)
            self._layers(jaxpr, address, part, (*loops, loop), _held(jaxpr, mine), branch, loop.layers)
            return
        if name == "while":
            parts = internals.while_loop(eqn)
            mine = mine[parts.condition_consts :]
            mine = [*mine[: parts.body_consts], *(None for _ in mine[parts.body_consts :])]
            loops = (*loops, Loop(address, None, False))
            self._body(address, part, loops, branch)
        elif name == "cond":
            mine, branch = mine[1:], True
            self._body(address, part, loops, branch)
        elif name == "shard_map":
            shards = internals.shards(eqn)
            self.made.shards.append(Shard(address, shards.axes, shards.checked))
        self.through(jaxpr, address, part, loops, _held(jaxpr, mine), branch)

    def _body(self, address: Address, part: Part, loops: tuple[Loop, ...], branch: bool) -> None:
        self.made.bodies[address] = Part(part.path, address, -1, loops, part, branch)

    def _layers(
        self,
        jaxpr: Jaxpr,
        address: Address,
        part: Part,
        loops: tuple[Loop, ...],
        own: dict[Any, bool],
        branch: bool,
        layers: bool,
    ) -> None:
        """Into the body of a scan; in one of layers, the number goes behind what the names of its parts share."""
        parts, tagged = len(self.made.parts), len(self.made.tagged)
        self.through(jaxpr, address, part, loops, own, branch)
        if not layers:
            return
        inside = [each for each in self.made.parts[parts:] if each.above is part]
        loose = [each.path for each in self.made.tagged[tagged:] if each.part is part]
        stem = _stem(part.path, [*(each.path for each in inside), *loose])
        body = self.made.bodies[address]
        body.path = (*stem, NUMBER) if len(stem) > len(part.path) else _numbered(body.path, part.path, part.path)
        both: list[Part | Tagged] = [*self.made.parts[parts:], *self.made.tagged[tagged:]]
        for each in both:
            further = sum(loop.layers for loop in each.loops[len(loops) :])
            if each.path[len(part.path) :].count(NUMBER) == further:  # else the user's own code says where it goes
                object.__setattr__(each, "path", _numbered(each.path, part.path, stem))


def _held(jaxpr: Jaxpr, mine: Sequence[bool | None]) -> dict[Any, bool]:
    given = {v: weighted for v, weighted in zip(jaxpr.invars, mine, strict=True) if weighted is not None}
    return dict.fromkeys(jaxpr.constvars, False) | given


def _below(eqn: Any) -> Path:
    """The path that a mark says, below the part that it lies in."""
    return tuple(filter(None, eqn.params["path"].replace("/", ".").split(".")))


def _stem(above: Path, paths: Sequence[Path]) -> Path:
    """What the paths in a stack's body share: behind it goes the number."""
    if not paths:
        return above
    shared = paths[0]
    for path in paths[1:]:
        shared = shared[: next((i for i, (a, b) in enumerate(zip(shared, path, strict=False)) if a != b), len(path))]
    return shared[: shared.index(NUMBER)] if NUMBER in shared else shared


def _numbered(path: Path, above: Path, stem: Path) -> Path:
    """`path` with a number in it: behind `stem`, or, where the parts share no name, behind the stack's usual one."""
    if path[: len(stem)] == stem and stem:
        return (*stem, NUMBER, *path[len(stem) :])
    return (*above, "layers", NUMBER, *path[len(above) :])
