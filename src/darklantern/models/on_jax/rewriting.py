"""One pass over a jaxpr, with a program's steps done where they belong; what no step lies in runs as it is.

The pass is run while JAX traces, so its result is compiled like any function, and what nothing depends on is left out.
Values that are recorded in loops and branches are threaded through as state: a buffer of the recorded iterations, so
that a few layers of a scan cost a few layers' memory; a recording of all iterations is the scan's own output.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from darklantern.errors import SiteError
from darklantern.models.on_jax import internals, spread
from darklantern.models.on_jax.choosing import ALL, get, put, whole
from darklantern.models.on_jax.internals import Jaxpr, Literal, laid_out, loosened
from darklantern.models.on_jax.marks import MARKED
from darklantern.models.on_jax.outline import Address, Place, Shard
from darklantern.models.on_jax.program import EDIT, RECORD, SHIFT, Program, Step

State = dict[int, Any]
"""by a step's number: what it has recorded so far"""
Counts = tuple[Any, ...]
"""the iteration of each loop around, outermost first"""


@dataclass(frozen=True, eq=False)
class Entrance:
    """A run that begins in the midst of a scan: at iteration `first`, with what the scan carries there."""

    first: int
    carry: tuple[Any, ...]


@dataclass(eq=False)
class Rewriting:
    """A program, and what goes into it in this run."""

    program: Program
    numbers: Sequence[Mapping[str, Any]]
    """for each step"""
    shifts: Mapping[int, Any] = field(default_factory=dict)
    """by a step's number, what it adds: what gradients are taken with respect to"""
    entrances: Mapping[Address, Entrance] = field(default_factory=dict)
    splits: Mapping[Address, int] = field(default_factory=dict)
    """scans of which it is asked what they carry before an iteration"""
    allow_custom: bool = False
    """functions with derivatives of their own may be opened up, and lose them"""
    carries: dict[Address, Any] = field(default_factory=dict)
    """what those scans carried"""

    def __post_init__(self) -> None:
        self._steps: dict[Place, list[int]] = {}
        self._inside: dict[Address, set[int]] = {}
        for number, step in enumerate(self.program.steps):
            place = step.point.place
            self._steps.setdefault(place, []).append(number)
            for depth in range(len(place.address) + 1):
                self._inside.setdefault(place.address[:depth], set()).add(number)
        for numbers in self._steps.values():
            numbers.sort(key=lambda number: not self.program.steps[number].point.early)
        self._eqns = {(place.address, place.eqn) for place in self._steps}

    # the pass

    def run(self, jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> tuple[list[Any] | None, State]:
        """What the jaxpr returns, None where the program stops before, and what was recorded."""
        self._root = jaxpr
        self.shifts = {
            number: spread.shifts(self.program.steps[number], self.numbers[number]["choice"], each)
            if self._cut(number)
            else each
            for number, each in self.shifts.items()
        }
        return self.through(jaxpr, consts, args, (), (), {}, self.program.stop)

    def through(
        self,
        jaxpr: Jaxpr,
        consts: Sequence[Any],
        args: Sequence[Any],
        address: Address,
        counts: Counts,
        state: State,
        stop: bool,
    ) -> tuple[list[Any] | None, State]:
        env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        env |= dict(zip(jaxpr.invars, args, strict=True))

        def read(v: Any) -> Any:
            return v.val if isinstance(v, Literal) else env[v]

        def at(eqn: int, defined: Sequence[Any], state: State) -> State:
            for place in sorted((p for p in self._steps if p.address == address and p.eqn == eqn), key=lambda p: p.var):
                for number in self._steps[place]:
                    env[defined[place.var]], state = self._step(number, env, defined[place.var], counts, state, jaxpr)
            return state

        waiting: list[Any] = []

        def flush() -> None:
            if waiting:
                made, needed, defined = internals.segment(jaxpr, waiting)
                env.update(zip(defined, internals.run(made, (), [env[v] for v in needed]), strict=True))
                waiting.clear()

        if (address, -1) in self._eqns:
            state = at(-1, jaxpr.invars, state)
        last = max((n for n in range(len(jaxpr.eqns)) if self._touches(address, n, jaxpr.eqns[n])), default=-1)
        for number, eqn in enumerate(jaxpr.eqns):
            if stop and number > last:
                return None, state
            if not self._touches(address, number, eqn):
                waiting.append(eqn)
                continue
            inside = [each for each in internals.inner(eqn) if (*address, (number, each.key)) in self._inside]
            if eqn.primitive.name in MARKED:  # its output may be used by nothing
                flush()
                env[eqn.outvars[0]] = read(eqn.invars[0])
            elif inside or self._entered(address, number, eqn):
                flush()
                outs, state = self._higher(
                    eqn, (*address,), number, [read(v) for v in eqn.invars], counts, state, stop and number == last
                )
                if outs is None:
                    return None, state
                env.update(zip(eqn.outvars, outs, strict=True))
            else:
                waiting.append(eqn)
            if (address, number) in self._eqns:
                flush()
                state = at(number, eqn.outvars, state)
        if stop:
            return None, state
        flush()
        return [read(v) for v in jaxpr.outvars], state

    def _touches(self, address: Address, number: int, eqn: Any) -> bool:
        """Whether a step is at an equation or inside it."""
        if (address, number) in self._eqns or self._entered(address, number, eqn):
            return True
        return any((*address, (number, each.key)) in self._inside for each in internals.inner(eqn))

    def _entered(self, address: Address, number: int, eqn: Any) -> bool:
        """Whether an equation is a scan that is entered or split, or holds one."""
        own = (*address, (number, ""))
        return any(spread.is_in(own, scan) for scan in (*self.entrances, *self.splits))

    def _cut(self, number: int) -> bool:
        """Whether a step adds something, of which each device has its own piece."""
        return number in self.shifts and self.program.steps[number].point.spread

    # steps

    def _step(
        self, number: int, env: Mapping[Any, Any], var: Any, counts: Counts, state: State, jaxpr: Jaxpr
    ) -> tuple[Any, State]:
        """A value after one step, and what is recorded then."""
        step, numbers, value = self.program.steps[number], self.numbers[number], env[var]
        point = step.point
        reads = [env[_variable(jaxpr, place)] for place in point.reads]
        shown = point.shown(value, *reads)
        entry, here = self._entry(step, numbers, counts)
        choice = [_of(each, entry, step) for each in numbers["choice"]]
        if step.kind == RECORD:
            part = _part(step, shown, choice)
            return value, self._recorded(number, step, part, entry, here, state)
        if step.kind == EDIT:
            assert step.edit is not None
            operands = [_of(each, entry, step) for each in numbers["operands"]]
            changed = _changed(step, shown, choice, lambda old: _edited(step, old, operands))
        else:
            shift = self.shifts[number][self._flat(step, counts) if step.every else entry]
            changed = _changed(step, shown, choice, lambda old: old + shift)
        changed = laid_out(point.hidden(changed, value, *reads).astype(value.dtype), value)
        if here is not None:
            changed = jnp.where(here, changed, value)
        if step.flagged:
            state = self._flag(number, step, entry, here, state)
        return changed, state

    def _entry(self, step: Step, numbers: Mapping[str, Any], counts: Counts) -> tuple[Any, Any]:
        """Which of the step's actions this iteration is for, and whether it is for one; (0, None) for always one."""
        if not step.loops or step.every:
            return 0, None
        if step.total is None:
            same = jnp.all(numbers["at"] == jnp.stack([jnp.asarray(count, jnp.int32) for count in counts]), axis=1)
            return jnp.argmax(same), jnp.any(same)
        if step.covers:
            return self._flat(step, counts), None
        entry = jnp.asarray(numbers["table"])[self._flat(step, counts)]
        count = len(step.actions)
        return jnp.minimum(entry, count - 1), entry < count

    def _flat(self, step: Step, counts: Counts) -> Any:
        """The number of this iteration among all of the loops around a step."""
        flat: Any = 0
        for loop, count in zip(step.loops, counts, strict=True):
            flat = flat * loop.length + count
        return flat

    def _recorded(self, number: int, step: Step, part: Any, entry: Any, here: Any, state: State) -> State:
        if step_is_output(step):
            return state | {number: part}
        if number not in state:
            return state | {number: part[None]}
        held = state[number]
        if isinstance(held, tuple):  # with a flag that it ran
            held, flags = held
            return state | {number: (_kept(held, part, entry, here), _kept(flags, _true(flags), entry, here))}
        return state | {number: _kept(held, part, entry, here)}

    def _flag(self, number: int, step: Step, entry: Any, here: Any, state: State) -> State:
        return state | {number: _kept(state[number], _true(state[number]), entry, here)}

    # control flow

    def _higher(
        self, eqn: Any, address: Address, number: int, given: list[Any], counts: Counts, state: State, stop: bool
    ) -> tuple[list[Any] | None, State]:
        name = eqn.primitive.name
        inside = internals.inner(eqn)
        own = (*address, (number, inside[0].key))
        if internals.is_remat(eqn):
            return self._remat(eqn, inside[0], own, given, counts, state, stop)
        if name in internals.CALLS:
            if name in internals.CUSTOM and not self.allow_custom:
                given = _undifferentiable(given, internals.custom_name(eqn))
            given = internals.constrained(eqn, given, "in_shardings")
            outs, state = self.through(inside[0].jaxpr, inside[0].consts, given, own, counts, state, stop)
            return (None if outs is None else internals.constrained(eqn, outs, "out_shardings")), state
        rules: dict[str, Callable[..., tuple[list[Any] | None, State]]] = {
            "scan": self._scan,
            "while": self._while,
            "cond": self._cond,
            "shard_map": self._shard_map,
        }
        return rules[name](eqn, address, number, given, counts, state, stop)

    def _remat(
        self, eqn: Any, inside: Any, own: Address, given: list[Any], counts: Counts, state: State, stop: bool
    ) -> tuple[list[Any] | None, State]:
        held = self._begun(own, state)

        def called(given: list[Any], held: State) -> tuple[list[Any] | None, State]:
            return self.through(inside.jaxpr, inside.consts, given, own, counts, held, stop)

        outs, made = jax.checkpoint(called, **internals.remat_options(eqn))(given, held)
        return outs, state | made

    def _begun(self, own: Address, state: State) -> State:
        """The state of what lies inside, with empty buffers where nothing was recorded yet."""
        return {number: state[number] if number in state else self._empty(number, own) for number in self._own(own)}

    def _own(self, own: Address) -> list[int]:
        """Steps inside that have a state, and not an output of their own."""
        return [
            number
            for number in sorted(self._inside.get(own, ()))
            if _has_state(self.program.steps[number]) and not step_is_output(self.program.steps[number])
        ]

    def _empty(self, number: int, own: Address) -> Any:
        """Buffers in the jaxpr at `own`: within a shard_map those of one device, else those of all."""
        step = self.program.steps[number]
        point = step.point
        count = 1 if not step.loops or step.every else len(step.actions)
        entered = [shard for shard in point.shards if spread.is_in(shard.address, own)]
        pieces = (spread.devices(point.shards) // spread.devices(entered),) if point.spread else ()

        def empty(shape: tuple[int, ...], dtype: Any) -> Any:
            return internals.vary(jnp.zeros((count, *pieces, *shape), dtype), spread.names(entered))

        flags = empty((), bool)
        if step.kind != RECORD:
            return flags
        if point.spread:
            buffer = empty(spread.of_each(step), point.aval.dtype)
        else:
            buffer = empty(step.shape, point.aval.dtype)
            like = self._explicit(number)
            buffer = buffer if like is None else laid_out(buffer, like, 1)
        return (buffer, flags) if step.flagged else buffer

    def _explicit(self, number: int) -> Any:
        """What a step records, as a type that says how it is cut; None where types do not say."""
        step = self.program.steps[number]
        places = [step.point.place, *step.point.reads]
        avals = [internals.variable(self._root, each.address, each.eqn, each.var).aval for each in places]
        if not internals.explicit(avals[0]):
            return None
        choice = [_of(each, 0, step) for each in self.numbers[number]["choice"]]
        given = [jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=aval.sharding) for aval in avals]
        return jax.eval_shape(lambda *given: _part(step, step.point.shown(*given), choice), *given)

    def _scan(
        self, eqn: Any, address: Address, number: int, given: list[Any], counts: Counts, state: State, stop: bool
    ) -> tuple[list[Any] | None, State]:
        scan, (inside,) = internals.scan(eqn), internals.inner(eqn)
        own = (*address, (number, inside.key))
        consts, carry, sliced = (
            given[: scan.consts],
            tuple(given[scan.consts : scan.consts + scan.carry]),
            given[scan.consts + scan.carry :],
        )
        first, last = 0, scan.length - 1
        if own in self.entrances:
            first, carry = self.entrances[own].first, self.entrances[own].carry
        limit = next((ends for loop, ends in self.program.limits.items() if loop.address == own), None)
        if stop and limit is not None:
            first, last = (max(first, limit[0]), last) if scan.reverse else (first, min(last, limit[1]))
        outputs = [n for n in sorted(self._inside.get(own, ())) if step_is_output(self.program.steps[n])]

        def body(carried: Any, each: Any) -> Any:
            (values, held), (count, xs) = carried, each
            outs, held = self.through(
                inside.jaxpr, inside.consts, [*consts, *values, *xs], own, (*counts, count), held, False
            )
            assert outs is not None
            kept = {n: held.pop(n) for n in outputs}
            return (tuple(outs[: scan.carry]), held), (outs[scan.carry :], kept)

        def turns(first: int, last: int, carried: Any) -> Any:
            part = sliced if last + 1 - first == scan.length else [each[first : last + 1] for each in sliced]
            counted = jnp.arange(first, last + 1)
            return lax.scan(
                body, carried, (counted, part), length=last + 1 - first, reverse=scan.reverse, unroll=scan.unroll
            )

        carried = (carry, self._begun(own, state))
        if own in self.splits:
            carried, early = turns(first, self.splits[own] - 1, carried)
            self.carries[own] = carried[0]
            carried, late = turns(self.splits[own], last, carried)
            (ys, kept) = jax.tree.map(lambda one, other: jnp.concatenate((one, other)), early, late)
        else:
            carried, (ys, kept) = turns(first, last, carried)
        carry, held = carried
        return (None if stop else [*carry, *ys]), state | held | kept

    def _while(
        self, eqn: Any, address: Address, number: int, given: list[Any], counts: Counts, state: State, stop: bool
    ) -> tuple[list[Any] | None, State]:
        loop, (inside,) = internals.while_loop(eqn), internals.inner(eqn)
        own = (*address, (number, inside.key))
        tests, given = given[: loop.condition_consts], given[loop.condition_consts :]
        consts, carry = given[: loop.body_consts], tuple(given[loop.body_consts :])

        def goes_on(carried: Any) -> Any:
            return internals.run(loop.condition.jaxpr, loop.condition.consts, [*tests, *carried[1]])[0]

        def body(carried: Any) -> Any:
            count, values, held = carried
            outs, held = self.through(
                inside.jaxpr, inside.consts, [*consts, *values], own, (*counts, count), held, False
            )
            assert outs is not None
            return count + 1, tuple(outs), held

        _, carry, held = lax.while_loop(goes_on, body, (jnp.int32(0), carry, self._begun(own, state)))
        return (None if stop else list(carry)), state | held

    def _cond(
        self, eqn: Any, address: Address, number: int, given: list[Any], counts: Counts, state: State, stop: bool
    ) -> tuple[list[Any] | None, State]:
        branches = internals.inner(eqn)
        begun: State = {}
        for branch in branches:
            begun |= self._begun((*address, (number, branch.key)), state)

        def called(branch: internals.Inner, values: list[Any], held: State) -> Any:
            own = (*address, (number, branch.key))
            outs, held = self.through(branch.jaxpr, branch.consts, values, own, counts, held, False)
            return outs, held

        index, values = given[0], given[1:]
        outs, held = lax.switch(
            index.astype(jnp.int32), [partial(called, branch) for branch in branches], values, begun
        )
        return (None if stop else outs), state | held

    def _shard_map(
        self, eqn: Any, address: Address, number: int, given: list[Any], counts: Counts, state: State, stop: bool
    ) -> tuple[list[Any] | None, State]:
        shards, (inside,) = internals.shards(eqn), internals.inner(eqn)
        own = (*address, (number, inside.key))
        around = Shard(own, shards.axes, shards.checked)
        carries = spread.Carries(around, inside.jaxpr)
        steps = [n for n in sorted(self._inside.get(own, ())) if _has_state(self.program.steps[n])]

        def specs(number: int) -> Any:
            step = self.program.steps[number]
            before = spread.loops_within(step, own) if step_is_output(step) else 1
            found = spread.spec(step.point, own, before)
            return (found, found) if step.kind == RECORD and step.flagged else found

        begun = {n: state[n] for n in self._own(own) if n in state}
        entrances = {scan: each for scan, each in self.entrances.items() if spread.is_in(own, scan)}
        split = [scan for scan in self.splits if spread.is_in(own, scan)]
        added = {n: self.shifts[n] for n in self._inside.get(own, ()) if self._cut(n)}

        def called(given: Any, held: State, added: Any, entered: Any) -> Any:
            before = self.entrances, self.shifts
            local = {
                scan: Entrance(each.first, carries.inside(scan, entered[scan])) for scan, each in entrances.items()
            }
            self.entrances, self.shifts = {**before[0], **local}, {**before[1], **added}
            try:
                outs, made = self.through(inside.jaxpr, inside.consts, list(given), own, counts, held, stop)
            finally:
                self.entrances, self.shifts = before
            left = {scan: carries.outside(scan, self.carries.pop(scan)) for scan in split}
            return tuple(outs or ()), {n: made[n] for n in steps}, left

        entering = (
            shards.in_specs,
            {n: specs(n) for n in begun},
            {n: spread.spec(self.program.steps[n].point, own, 1) for n in added},
            {scan: carries.specs(scan) for scan in entrances},
        )
        leaving = (
            () if stop else shards.out_specs,
            {n: specs(n) for n in steps},
            {scan: carries.specs(scan) for scan in split},
        )
        outs, made, left = jax.shard_map(called, in_specs=entering, out_specs=leaving, **shards.options)(
            tuple(given), begun, added, {scan: each.carry for scan, each in entrances.items()}
        )
        self.carries |= left
        return (None if stop else list(outs)), state | made


def step_is_output(step: Step) -> bool:
    """Whether what a step records is an output of the scans around it: every iteration's."""
    return step.kind == RECORD and bool(step.loops) and not step.flagged and step.covers


def _has_state(step: Step) -> bool:
    return step.kind == RECORD or step.flagged


def _kept(held: Any, part: Any, entry: Any, here: Any) -> Any:
    """A buffer with `part` in place `entry`, if `here`."""
    if here is not None:
        part = jnp.where(here, part, lax.dynamic_index_in_dim(held, entry, keepdims=False))
    return lax.dynamic_update_index_in_dim(held, part, entry, 0)


def _true(flags: Any) -> Any:
    return jnp.ones(flags.shape[1:], bool)


def _part(step: Step, shown: Any, choice: Sequence[Any]) -> Any:
    """What a step records."""
    if step.point.spread:
        return get(shown[None], *spread.alone(step.form, choice))
    return get(loosened(shown, [each != ALL for each in step.form]), step.form, choice)


def _changed(step: Step, shown: Any, choice: Sequence[Any], change: Callable[[Any], Any]) -> Any:
    """What is shown, with its chosen part changed. In a shard_map an edit gets all devices' pieces: it may mix them."""
    form, shards = step.form, step.point.shards
    spreads, alone = step.point.spread, step.kind == SHIFT
    if spreads:
        shown = shown[None] if alone else spread.pieces(shown, shards)
        form, choice = spread.alone(form, choice) if alone else (form, choice)
    if whole(form):
        changed = change(shown)
    else:
        shown = loosened(shown)
        changed = put(shown, form, choice, loosened(change(get(shown, form, choice))))
    if not spreads:
        return changed
    return changed[0] if alone else spread.own(changed, shards)


def _of(each: Any, entry: Any, step: Step) -> Any:
    """A step's array for one of its actions."""
    if len(step.actions) == 1:
        return each
    return lax.dynamic_index_in_dim(jnp.asarray(each), entry, keepdims=False)


def _edited(step: Step, old: Any, operands: Sequence[Any]) -> Any:
    """What the step's edit makes of `old`. Raises SiteError for another shape."""
    assert step.edit is not None
    site = step.actions[0].site
    try:
        new = step.edit.function(old, step.axes, *operands)
    except SiteError as error:
        error.add_note(f"in the edit {step.edit} at {site}")
        raise
    if not hasattr(new, "shape") or tuple(new.shape) != tuple(old.shape):
        came = f"shape {tuple(new.shape)}" if hasattr(new, "shape") else type(new).__name__
        raise SiteError(
            f"the edit {step.edit} at {site} must return an array of shape {tuple(old.shape)}, got {came}",
            hint="an edit takes the value and returns its replacement, of the same shape",
        )
    return new


def _variable(jaxpr: Jaxpr, place: Place) -> Any:
    return jaxpr.invars[place.var] if place.eqn < 0 else jaxpr.eqns[place.eqn].outvars[place.var]


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
