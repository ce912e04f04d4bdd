"""Into what an equation holds: calls, remat, scans, while loops, branches and pieces of a mesh, with steps inside.

Each is built again by JAX's public function for it, around the pass over what it holds, and carries besides its own
values what was recorded so far.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax

from darklantern.errors import SiteError
from darklantern.models.on_jax import buffers, internals, spread
from darklantern.models.on_jax.buffers import State
from darklantern.models.on_jax.internals import Inner, laid_out
from darklantern.models.on_jax.outline import Address, Shard
from darklantern.models.on_jax.program import RECORD
from darklantern.models.on_jax.stepping import Counts

if TYPE_CHECKING:
    from darklantern.models.on_jax.rewriting import Rewriting

Result = tuple[list[Any] | None, State]
"""what a jaxpr returns, None where the run stops inside; and what was recorded until then"""


@dataclass(frozen=True, eq=False)
class Entrance:
    """A run that begins in the midst of a scan: the iterations before it do not run.

    All of it goes in when it runs, so that one compiled function serves every iteration to begin at.
    """

    first: Any
    """the iteration that runs first"""
    carry: tuple[Any, ...]
    """what the scan carries there"""
    rows: tuple[Any, ...]
    """what it returned for each iteration of the whole run, of which those that do not run keep theirs"""


@dataclass(frozen=True, eq=False)
class Nest:
    """An equation with steps inside, and what it is run with."""

    eqn: Any
    address: Address
    """of the jaxpr in which it stands"""
    number: int
    given: list[Any]
    counts: Counts
    state: State
    stop: bool
    """nothing behind the last step inside is needed"""

    @property
    def inside(self) -> list[Inner]:
        return internals.inner(self.eqn)

    def own(self, inside: Inner) -> Address:
        return (*self.address, (self.number, inside.key))


def entered(rewriting: "Rewriting", nest: Nest) -> Result:
    """What the equation makes, and the state behind it."""
    if internals.is_remat(nest.eqn):
        return _remat(rewriting, nest)
    name = nest.eqn.primitive.name
    return (_call if name in internals.CALLS else _RULES[name])(rewriting, nest)


def _begun(rewriting: "Rewriting", nest: Nest, own: Address) -> State:
    carried = {number: step for number, step in rewriting.within(own).items() if buffers.is_carried(step)}
    return buffers.begun(nest.state, carried, rewriting.numbers, own, rewriting.root)


def _call(rewriting: "Rewriting", nest: Nest) -> Result:
    eqn, (inside, *_) = nest.eqn, nest.inside
    given = nest.given
    if eqn.primitive.name in internals.CUSTOM and not rewriting.allow_custom:
        given = _undifferentiable(given, internals.custom_name(eqn))
    given = internals.constrained(eqn, given, "in_shardings")
    outs, state = rewriting.through(
        inside.jaxpr, inside.consts, given, nest.own(inside), nest.counts, nest.state, nest.stop
    )
    return (None if outs is None else internals.constrained(eqn, outs, "out_shardings")), state


def _remat(rewriting: "Rewriting", nest: Nest) -> Result:
    inside, *_ = nest.inside
    own = nest.own(inside)

    def called(given: list[Any], held: State) -> Result:
        return rewriting.through(inside.jaxpr, inside.consts, given, own, nest.counts, held, nest.stop)

    options = internals.remat_options(nest.eqn)
    outs, made = jax.checkpoint(called, **options)(nest.given, _begun(rewriting, nest, own))
    return outs, nest.state | made


def _cond(rewriting: "Rewriting", nest: Nest) -> Result:
    begun: State = {}
    for branch in nest.inside:
        begun |= _begun(rewriting, nest, nest.own(branch))

    def called(branch: Inner, values: list[Any], held: State) -> Result:
        return rewriting.through(branch.jaxpr, branch.consts, values, nest.own(branch), nest.counts, held, False)

    index, values = nest.given[0].astype(jnp.int32), nest.given[1:]
    outs, held = lax.switch(index, [partial(called, branch) for branch in nest.inside], values, begun)
    return (None if nest.stop else outs), nest.state | held


def _while(rewriting: "Rewriting", nest: Nest) -> Result:
    loop, (inside,) = internals.while_loop(nest.eqn), nest.inside
    own = nest.own(inside)
    tests, given = nest.given[: loop.condition_consts], nest.given[loop.condition_consts :]
    consts, carry = given[: loop.body_consts], tuple(given[loop.body_consts :])

    def goes_on(carried: Any) -> Any:
        return internals.run(loop.condition.jaxpr, loop.condition.consts, [*tests, *carried[1]])[0]

    def body(carried: Any) -> Any:
        count, values, held = carried
        counts = (*nest.counts, count)
        outs, held = rewriting.through(inside.jaxpr, inside.consts, [*consts, *values], own, counts, held, False)
        assert outs is not None
        return count + 1, tuple(outs), held

    _, carry, held = lax.while_loop(goes_on, body, (jnp.int32(0), carry, _begun(rewriting, nest, own)))
    return (None if nest.stop else list(carry)), nest.state | held


def _scan(rewriting: "Rewriting", nest: Nest) -> Result:
    scan, (inside,) = internals.scan(nest.eqn), nest.inside
    own = nest.own(inside)
    consts, given = nest.given[: scan.consts], nest.given[scan.consts :]
    carry, sliced = tuple(given[: scan.carry]), given[scan.carry :]
    entrance, wanted = rewriting.entrances.get(own), rewriting.splits.get(own)
    outputs = [number for number, step in rewriting.within(own).items() if buffers.is_output(step)]
    first, last = _iterations(rewriting, own, nest.stop, scan.length, scan.reverse)
    rows: tuple[Any, ...] = ()
    if entrance is not None:
        carry, rows = entrance.carry, entrance.rows
    skips = entrance is not None and not _is_fixed(entrance)

    def turn(count: Any, carried: Any, xs: Any) -> Any:
        values, held = carried
        counts = (*nest.counts, count)
        outs, held = rewriting.through(inside.jaxpr, inside.consts, [*consts, *values, *xs], own, counts, held, False)
        assert outs is not None
        kept = {number: held.pop(number) for number in outputs}
        return (tuple(outs[: scan.carry]), held), (tuple(outs[scan.carry :]), kept)

    def later(count: Any, carried: Any, xs: Any, returned: Any) -> Any:
        """An iteration if it runs; what one that does not run would record, nobody asks for."""
        assert entrance is not None
        kept = jax.eval_shape(turn, count, carried, xs)[1][1] if outputs else {}
        nothing = returned, jax.tree.map(lambda each: laid_out(jnp.zeros(each.shape, each.dtype), each), kept)
        runs = count <= entrance.first if scan.reverse else count >= entrance.first
        return lax.cond(runs, turn, lambda _, carried, __: (carried, nothing), count, carried, xs)

    def body(carried: Any, each: Any) -> Any:
        (carried, caught), (count, xs, returned) = carried, each
        if wanted is not None:
            here = wanted == count
            at, now = jnp.argmax(here), jnp.any(here)
            caught = [buffers.kept(b, v, at, now) for b, v in zip(caught, carried[0], strict=True)]
        carried, made = later(count, carried, xs, returned) if skips else turn(count, carried, xs)
        return (carried, caught), made

    def some(several: Any) -> list[Any]:
        return [each[first : last + 1] for each in several] if last + 1 - first < scan.length else list(several)

    each = (jnp.arange(first, last + 1), some(sliced), tuple(some(rows)))
    caught: list[Any] = []
    if wanted is not None:
        caught = [laid_out(jnp.zeros((len(wanted), *each.shape), each.dtype), each, 1) for each in carry]
    ((carry, held), caught), (ys, kept) = lax.scan(
        body, ((carry, _begun(rewriting, nest, own)), caught), each,
        length=last + 1 - first, reverse=scan.reverse, unroll=scan.unroll,
    )  # fmt: skip
    if wanted is not None:
        held = held | {rewriting.caught[own]: (caught, ys)}
    if entrance is not None and not skips:
        ys = [jnp.concatenate((row[:first], made, row[last + 1 :])) for row, made in zip(rows, ys, strict=True)]
    return (None if nest.stop else [*carry, *ys]), nest.state | held | kept


def _iterations(rewriting: "Rewriting", own: Address, stop: bool, length: int, reverse: bool) -> tuple[int, int]:
    """The first and the last iteration of a scan that have to run, by their numbers."""
    first, last = 0, length - 1
    entrance = rewriting.entrances.get(own)
    if entrance is not None and _is_fixed(entrance):
        first, last = (first, entrance.first) if reverse else (entrance.first, last)
    limit = next((ends for loop, ends in rewriting.program.limits.items() if loop.address == own), None)
    if stop and limit is not None:
        first, last = (max(first, limit[0]), last) if reverse else (first, min(last, limit[1]))
    return first, last


def _is_fixed(entrance: Entrance) -> bool:
    """Whether it is known while JAX traces, as where a run is only counted: then other iterations are left out."""
    return isinstance(entrance.first, int)


def _shard_map(rewriting: "Rewriting", nest: Nest) -> Result:
    shards, (inside,) = internals.shards(nest.eqn), nest.inside
    own = nest.own(inside)
    around = Shard(own, shards.axes, shards.checked)
    scans = [scan for scan in (*rewriting.entrances, *rewriting.splits) if spread.is_in(own, scan)]
    carries = {scan: spread.Carries(around, inside.jaxpr, scan) for scan in scans}
    entrances = {scan: each for scan, each in rewriting.entrances.items() if scan in carries}
    split = [scan for scan in rewriting.splits if scan in carries]
    steps = {number: step for number, step in rewriting.within(own).items() if buffers.has_state(step)}
    begun = {n: nest.state[n] for n, step in steps.items() if buffers.is_carried(step) and n in nest.state}
    added = {n: rewriting.shifts[n] for n in rewriting.within(own) if rewriting.spreads(n)}

    def specs(number: int) -> Any:
        step = steps[number]
        before = spread.loops_within(step, own) if buffers.is_output(step) else 1
        found = spread.spec(step.point, own, before)
        return (found, found) if step.kind == RECORD and step.flagged else found

    def called(given: Any, held: State, added: Any, entering: Any) -> Any:
        local = {scan: Entrance(each.first, *carries[scan].inside(*entering[scan])) for scan, each in entrances.items()}
        here = replace(rewriting, entrances={**rewriting.entrances, **local}, shifts={**rewriting.shifts, **added})
        outs, made = here.through(inside.jaxpr, inside.consts, list(given), own, nest.counts, held, nest.stop)
        left = {scan: carries[scan].outside(*made.pop(rewriting.caught[scan])) for scan in split}
        return tuple(outs or ()), {number: made[number] for number in steps}, left

    entering = (
        shards.in_specs,
        {number: specs(number) for number in begun},
        {number: spread.spec(rewriting.program.steps[number].point, own, 1) for number in added},
        {scan: carries[scan].entering for scan in entrances},
    )
    leaving = (
        () if nest.stop else shards.out_specs,
        {number: specs(number) for number in steps},
        {scan: carries[scan].leaving for scan in split},
    )
    outs, made, left = jax.shard_map(called, in_specs=entering, out_specs=leaving, **shards.options)(
        tuple(nest.given), begun, added, {scan: (each.carry, each.rows) for scan, each in entrances.items()}
    )
    caught = {rewriting.caught[scan]: each for scan, each in left.items()}
    return (None if nest.stop else list(outs)), nest.state | made | caught


_RULES: dict[str, Callable[["Rewriting", Nest], Result]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "shard_map": _shard_map,
}


def _undifferentiable(given: list[Any], name: str) -> list[Any]:
    """`given`, through which nobody can take a derivative: that of the function's author would not be in it.

    What goes into the function, not what comes out: its own equations may have no derivative at all, and then nobody
    would ask.
    """

    @jax.custom_jvp
    def kept(given: list[Any]) -> list[Any]:
        return given

    @kept.defjvp
    def refused(primals: Any, tangents: Any) -> Any:
        raise custom_refused(name)

    return kept(given)


def custom_refused(name: str) -> SiteError:
    return SiteError(
        f"{name} has a derivative of its own (jax.custom_vjp or custom_jvp), and a site inside it is read or edited: a "
        "gradient through it would be another than its author's",
        hint='ask for a site outside of it; open(..., custom="inline") takes the derivative of what it computes',
    )
