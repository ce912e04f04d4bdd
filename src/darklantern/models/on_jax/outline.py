"""What a model's jaxpr consists of, as its marks say: parts, loops around them, and the values that are tagged.

A scan whose iterations have weights of their own is a stack of layers: iteration 3 of `blocks` is `blocks.3`. A scan
or a while loop whose iterations share their weights is one part that is called several times.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from darklantern.models.on_jax import internals
from darklantern.models.on_jax.internals import Jaxpr, Literal
from darklantern.models.on_jax.marks import enter_p, leave_p, site_p

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


def outline(jaxpr: Jaxpr, weights: int) -> Outline:
    """The outline of a jaxpr whose first `weights` inputs are the model's weights."""
    made = Outline()
    root = Part((), (), -1, (), None, False)
    own = {*jaxpr.constvars, *jaxpr.invars[:weights]}
    _Walk(made).through(jaxpr, (), root, (), own, False)
    made.entered = [part.path for part in made.parts]
    # A framework may trace a body once only to see what it makes of constants: of that, parts are left that never
    # returned, or that hold nothing.
    returned = {id(each.part) for each in made.tagged if each.port == "out"}
    made.tagged = [
        each
        for each in made.tagged
        if all(id(part) in returned or not part.returns for part in _around(each.part) if part is not root)
    ]
    held = {id(part) for tagged in made.tagged for part in _around(tagged.part)}
    made.parts = [part for part in made.parts if id(part) in held]
    return made


def _around(part: Part | None) -> Iterator[Part]:
    while part is not None:
        yield part
        part = part.above


class _Walk:
    def __init__(self, made: Outline) -> None:
        self.made = made

    def through(
        self, jaxpr: Jaxpr, address: Address, part: Part, loops: tuple[Loop, ...], own: set[Any], branch: bool
    ) -> None:
        """`own` are the variables that hold weights, or what is computed from weights alone."""
        outermost = part
        for number, eqn in enumerate(jaxpr.eqns):
            if eqn.primitive is enter_p:
                path = eqn.params["path"]
                path = path if eqn.params["absolute"] else part.path + path
                part = Part(path, address, number, loops, part, branch, eqn.params["kind"], eqn.params["returns"])
                self.made.parts.append(part)
            elif eqn.primitive is leave_p:
                if part is not outermost and part.above is not None:
                    part.last = number
                    part = part.above
            elif eqn.primitive is site_p or eqn.primitive.name == "name":
                self._tagged(eqn, Place(address, number, 0), part, loops, branch)
            inside = internals.inner(eqn)
            if all(isinstance(v, Literal) or v in own for v in eqn.invars):
                own.update(eqn.outvars)
            for each in inside:
                self._into(eqn, each, (*address, (number, each.key)), part, loops, own, branch)

    def _tagged(self, eqn: Any, place: Place, part: Part, loops: tuple[Loop, ...], branch: bool) -> None:
        params = eqn.params
        ours = eqn.primitive is site_p
        below = tuple(filter(None, params["path"].replace("/", ".").split("."))) if ours else ()
        port, member = (params["port"], params["member"]) if ours else (str(params["name"]), "")
        aval = eqn.outvars[0].aval
        self.made.tagged.append(Tagged(part, part.path + below, port, member, place, loops, branch, aval))

    def _into(
        self,
        eqn: Any,
        inside: internals.Inner,
        address: Address,
        part: Part,
        loops: tuple[Loop, ...],
        own: set[Any],
        branch: bool,
    ) -> None:
        name, jaxpr = eqn.primitive.name, inside.jaxpr
        mine = [isinstance(v, Literal) or v in own for v in eqn.invars]
        if name in internals.CUSTOM:
            self.made.custom.append((address, internals.custom_name(eqn)))
        if name == "scan":
            scan = internals.scan(eqn)
            sliced = mine[scan.consts + scan.carry :]
            loop = Loop(address, scan.length, any(sliced), scan.reverse)
            mine = [*mine[: scan.consts], *(False for _ in range(scan.carry)), *sliced]
            self._body(address, part, (*loops, loop), branch)
            self._layers(jaxpr, address, part, (*loops, loop), _held(jaxpr, mine), branch, loop.layers)
            return
        if name == "while":
            parts = internals.while_loop(eqn)
            mine = mine[parts.condition_consts :]
            mine = [*mine[: parts.body_consts], *(False for _ in mine[parts.body_consts :])]
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
        own: set[Any],
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


def _held(jaxpr: Jaxpr, mine: Sequence[bool]) -> set[Any]:
    return {*jaxpr.constvars, *(v for v, is_own in zip(jaxpr.invars, mine, strict=True) if is_own)}


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
