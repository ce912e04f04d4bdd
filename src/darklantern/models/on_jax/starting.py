"""Starts: runs that begin at a block, with what went into it on some inputs.

Nothing is tried out, as torch's starts are: what a run computes follows from the data flow. What went into the block is
put back; what else later blocks need is computed again, and what nothing needs any more is not. In a scan the
iterations before the block do not run. Which block it is goes in when it runs: all of a stack share one compiled
function.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from darklantern.errors import SiteError
from darklantern.models.edits import Edit, put
from darklantern.models.on_jax.naming import Naming, Target
from darklantern.models.on_jax.nested import Entrance
from darklantern.models.on_jax.outline import Address, Loop
from darklantern.models.on_jax.planning import Lengths, Plan
from darklantern.models.on_jax.program import Visit
from darklantern.models.on_jax.running import Call, Traced, joined, run
from darklantern.models.paths import nearest, unquoted
from darklantern.models.recording import Recording
from darklantern.models.sites import Site


@dataclass(frozen=True, eq=False)
class Block:
    """Where a block begins: in the flow, or at an iteration of a scan."""

    name: str
    """canonical"""
    number: int
    """in its row"""
    sites: tuple[Site, ...]
    """what goes in"""
    loop: Loop | None
    """the scan of which it is an iteration"""
    when: tuple[float, ...]
    """its place in the order of all that a run computes"""
    before: frozenset[str]
    """the blocks that come before it in its row"""

    def follows(self, visit: Visit) -> bool:
        """Whether a value is computed before the block is entered."""
        point = visit.point
        if self.loop in point.loops:
            at = visit.at[point.loops.index(self.loop)]
            return at is not None and _earlier(self.loop, at, self.number)
        return point.place.when() < self.when


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
    block: Block = field(repr=False)
    puts: tuple[tuple[Site, Edit], ...] = field(repr=False)
    """what puts the block's inputs back, outside of scans"""
    edits: tuple[tuple[Site, Edit], ...] = field(repr=False)
    """those that it was taken under, of which some are in what goes in"""

    _plans: WeakKeyDictionary[Plan, Plan] = field(default_factory=WeakKeyDictionary, init=False, repr=False)
    """from here on, by those from the beginning"""

    def entered(self, plan: Plan) -> Plan:
        """`plan` from here on. Raises SiteError for what lies before, where nothing would follow from it."""
        if plan not in self._plans:
            self._plans[plan] = self._from_here(plan)
        return self._plans[plan]

    def _from_here(self, plan: Plan) -> Plan:
        held = [edit for _, edit in self.edits]
        if missing := [edit for edit in held if all(edit is not each for _, each in plan.edits)]:
            raise SiteError(
                f"this start was taken under the edit {missing[0]}, and holds what follows from it",
                hint="run it on the edited model, or take a start without the edit",
            )
        for site in plan.record:
            if self.traced.naming.block_of(site.native or site.path.removeprefix("/")) in self.block.before:
                raise SiteError(
                    f"the run never reaches {site}: it starts at {self.path}", hint="run it from the inputs"
                )
        changed = [site for site, edit in plan.edits if all(edit is not each for each in held)]
        for site in (*changed, *plan.grad):
            ((_, target),) = self.traced.naming.resolve(site)
            if any(map(self.block.follows, target.call(site))):
                raise SiteError(
                    f"{site} comes before {self.path}, where this run starts, so nothing would follow from a "
                    "change there",
                    hint="run from the inputs, or take the start under the edit: model.edited({...}).start(...)",
                )
        # Edits of the model itself at the block's entrance are in what is put there.
        done = {id(edit) for site, edit in self.edits if self.puts and site.whole in self.block.sites}
        after = [pair for pair in plan.edits if id(pair[1]) not in done]
        return replace(plan, edits=(*self.puts, *after), prepared={})

    def __repr__(self) -> str:
        return f"the entrance of {self.path}"


def starts(
    traced: Traced, plan: Plan, call: Call, inputs: Any, asked: Sequence[str], lengths: Lengths
) -> list[Start | SiteError]:
    """A start at each of the blocks, all from one run; in place of one that cannot be had, why."""
    blocks = [_block(traced.naming, each) for each in asked]
    there = [each for each in blocks if isinstance(each, Block)]
    # 1. One run, which records what goes into blocks and what scans carry on the way.
    sites = tuple(dict.fromkeys(site for each in there if each.loop is None for site in each.sites))
    scanned: dict[Address, list[int]] = {}
    for each in there:
        if each.loop is not None and each.number not in scanned.setdefault(each.loop.address, []):
            scanned[each.loop.address].append(each.number)
    ready = traced.prepared(replace(plan, record=sites, named=frozenset(sites), prepared={}), lengths)
    made = run(traced, ready, call, scanned)
    assert made.outs is not None
    output = traced.trace.output.back(made.outs)
    rows = [(row.site, joined(row, each), row.axes) for row, each in zip(ready.rows, made.values, strict=True)]
    values = Recording(rows, None)

    # 2. Each start.
    def start(block: Block) -> Start:
        puts = tuple((site, put(values[site].array)) for site in block.sites if block.loop is None)
        entered = Call(call.weights, call.given, _entrance(block, scanned, made.carries))
        return Start(block.name, inputs, output, traced, entered, block, puts, plan.edits)

    return [start(each) if isinstance(each, Block) else each for each in blocks]


def _entrance(
    block: Block, scanned: Mapping[Address, Sequence[int]], carries: Mapping[Address, Any]
) -> dict[Address, Entrance]:
    if block.loop is None:
        return {}
    address = block.loop.address
    caught, rows = carries[address]
    here = scanned[address].index(block.number)
    return {address: Entrance(block.number, tuple(each[here] for each in caught), tuple(rows))}


def _block(naming: Naming, asked: str) -> Block | SiteError:
    """Where the block begins that a path means; if it is none, or none to begin at, why."""
    blocks = naming.blocks()
    plain = unquoted(asked).removeprefix("/")
    name = asked if asked in blocks else naming.block_of(plain) if naming.found(plain) else None
    if name is None or naming.native.get(unquoted(name)) not in (plain, naming.native.get(plain)):
        close = nearest(asked, blocks)
        return SiteError(
            f"expected a block of a row of blocks, got {asked!r}",
            hint=f"did you mean {' or '.join(close)}?" if close else "for example layers.3",
        )
    path = naming.native[unquoted(name)]
    targets: list[Target] = list(naming.ports[path].get("in", {}).values())
    visits = [visit for target in targets for visit in target.visits]
    loops = {loop for visit in visits for loop in visit.point.loops if loop.layers}
    refused = {
        f"{name} takes no arrays, so there is nothing to start it from": not targets,
        f"{name} is called several times in one run": any(target.count != 1 for target in targets),
        f"{name} lies in a branch, which another run may not take": any(visit.point.branch for visit in visits),
        f"{name} lies in a scan within a scan": len(loops) > 1,
    }
    if why := next((why for why, is_so in refused.items() if is_so), None):
        return SiteError(why, hint="start at another block")
    loop = next(iter(loops), None)
    above, _, last = name.rpartition(".")
    number = int(last)
    row = [each for each in blocks if each.rpartition(".")[0] == above]
    before = frozenset(each for each in row if _earlier(loop, int(each.rpartition(".")[2]), number))
    sites = tuple(Site(naming.shown(path), "in", member=target.point.member) for target in targets)
    when = min(visit.point.place.when() for visit in visits) if loop is None else _entered(loop)
    return Block(name, number, sites, loop, when, before)


def _entered(loop: Loop) -> tuple[float, ...]:
    """When a scan begins: before all that happens inside it."""
    order: list[float] = []
    for eqn, _ in loop.address:
        order += [eqn, float("-inf")]
    return tuple(order)


def _earlier(loop: Loop | None, one: int, other: int) -> bool:
    """Whether one block of a row runs before another: in a scan that runs backwards, those with larger numbers do."""
    return one > other if loop is not None and loop.reverse else one < other
