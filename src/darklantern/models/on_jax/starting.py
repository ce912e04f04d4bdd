"""Starts: runs that begin at a block, with what went into it on some inputs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from darklantern.errors import SiteError
from darklantern.models.edits import put
from darklantern.models.on_jax.naming import Naming, Target
from darklantern.models.on_jax.outline import Address
from darklantern.models.on_jax.planning import Plan
from darklantern.models.on_jax.rewriting import Entrance
from darklantern.models.on_jax.running import Call, Traced, joined, run
from darklantern.models.paths import nearest, unquoted
from darklantern.models.sites import Site


@dataclass(frozen=True, eq=False, repr=False)
class Start:
    """The entrance of a block, from which `run` and `record` go on."""

    path: str
    """of the block, canonical"""
    inputs: Any
    """what the model was given"""
    output: Any
    """what the model returned for it"""
    traced: Traced = field(repr=False)
    call: Call = field(repr=False)
    edits: tuple[tuple[Site, Any], ...] = field(repr=False)
    """what puts the block's inputs back, outside of scans"""
    held: frozenset[Any] = field(repr=False)
    """edits of the model itself, which are in what the start holds"""
    before: frozenset[str] = field(repr=False)
    """own paths of the blocks before it"""

    entering: WeakKeyDictionary[Plan, Plan] = field(default_factory=WeakKeyDictionary, repr=False)
    """plans from here on, by those from the beginning"""

    def entered(self, plan: Plan) -> Plan:
        """`plan` from here on. Raises SiteError for a site that lies before."""
        if plan not in self.entering:
            self.entering[plan] = self._from_here(plan)
        return self.entering[plan]

    def _from_here(self, plan: Plan) -> Plan:
        asked = [site for site, edit in plan.edits if edit not in self.held]
        for site in (*plan.record, *asked):
            block = self.traced.naming.block_of(site.native or site.path.removeprefix("/"))
            if block in self.before:
                raise SiteError(
                    f"the run never reaches {site}: it starts at {self.path}", hint="run it from the inputs"
                )
        return replace(plan, edits=(*self.edits, *plan.edits), how={**plan.how}, prepared={})

    def __repr__(self) -> str:
        return f"the entrance of {self.path}"


def started(traced: Traced, plan: Plan, call: Call, inputs: Any, block: str) -> Start:
    """A start at `block`. Raises SiteError for what is none."""
    naming = traced.naming
    blocks = naming.blocks()
    plain = unquoted(block).removeprefix("/")
    name = block if block in blocks else naming.block_of(plain) if naming.found(plain) else None
    if name is None or naming.native.get(unquoted(name)) not in (plain, naming.native.get(plain)):
        close = nearest(block, blocks)
        raise SiteError(
            f"expected a block of a row of blocks, got {block!r}",
            hint=f"did you mean {' or '.join(close)}?" if close else "for example layers.3",
        )
    above = name.rpartition(".")[0]
    number = int(name.rpartition(".")[2])
    before = frozenset(
        each for each in blocks if each.rpartition(".")[0] == above and int(each.rpartition(".")[2]) < number
    )
    entering = _entering(naming, name)
    loops = {loop for target in entering for loop in target.point.loops if loop.layers}
    if len(loops) > 1:
        raise SiteError(f"{name} lies in a scan within a scan", hint="start at one of the outer blocks")
    if loops:
        (loop,) = loops
        return _in_a_scan(traced, plan, call, inputs, name, loop.address, number, before)
    sites = [Site(naming.shown(naming.native[unquoted(name)]), "in", member=target.point.member) for target in entering]
    # As it comes in: an edit of the model itself at this very place is done when the run goes on from here.
    elsewhere = tuple((site, edit) for site, edit in plan.edits if site.whole not in set(sites))
    asked = replace(plan, record=tuple(sites), edits=elsewhere, named=frozenset(sites), prepared={})
    ready = traced.prepared(asked, None)
    made = run(traced, ready, call)
    values = {row.site: joined(row, each) for row, each in zip(ready.rows, made.values, strict=True)}
    edits = tuple((site, put(value)) for site, value in values.items())
    assert made.outs is not None
    held = frozenset(edit for _, edit in plan.edits)
    return Start(name, inputs, traced.trace.output.back(made.outs), traced, call, edits, held, before)


def _entering(naming: Naming, block: str) -> Sequence[Target]:
    """What goes into a block."""
    path = naming.native[unquoted(block)]
    targets = list(naming.ports[path].get("in", {}).values())
    if not targets:
        raise SiteError(f"{block} takes no arrays, so there is nothing to start it from", hint="start at another block")
    if any(target.count != 1 for target in targets):
        raise SiteError(f"{block} is called several times in one run", hint="start at another block")
    return targets


def _in_a_scan(
    traced: Traced,
    plan: Plan,
    call: Call,
    inputs: Any,
    name: str,
    address: Address,
    number: int,
    before: frozenset[str],
) -> Start:
    """What the scan carries at the block's iteration, as a run that ends there leaves it."""
    made = run(traced, traced.prepared(plan, None), call, {address: number})
    assert made.outs is not None
    carry = made.carries[address]
    entrance = Entrance(number, tuple(carry))
    entered = Call(call.weights, call.given, {address: entrance})
    held = frozenset(edit for _, edit in plan.edits)
    return Start(name, inputs, traced.trace.output.back(made.outs), traced, entered, (), held, before)
