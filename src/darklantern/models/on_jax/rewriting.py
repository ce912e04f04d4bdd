"""One pass over a jaxpr, with a program's steps done where they belong; what no step lies in runs as it is.

The pass is run while JAX traces, so its result is compiled like any function, and what nothing depends on is left out.
`stepping` does a step, `buffers` keeps what was recorded, `nested` goes into loops, branches and calls, and comes back
here for what they hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from darklantern.models.on_jax import buffers, internals, spread, stepping
from darklantern.models.on_jax.buffers import State
from darklantern.models.on_jax.internals import Jaxpr, Literal
from darklantern.models.on_jax.marks import MARKED
from darklantern.models.on_jax.nested import Entrance, Nest, Result, entered
from darklantern.models.on_jax.outline import Address, Place
from darklantern.models.on_jax.program import RECORD, Program, Step, flat
from darklantern.models.on_jax.stepping import Counts, Numbers


@dataclass(frozen=True, eq=False)
class Rewriting:
    """A program on a jaxpr, and what goes into it in this run."""

    root: Jaxpr
    program: Program
    numbers: Sequence[Numbers]
    """for each step"""
    shifts: Mapping[int, Any]
    """by a step's number, what it adds: what gradients are taken with respect to"""
    entrances: Mapping[Address, Entrance]
    splits: Mapping[Address, Any]
    """scans of which it is asked what they carry before some iterations, and the numbers of these"""
    allow_custom: bool
    """functions with derivatives of their own may be opened up, and lose them"""

    def run(self, consts: Sequence[Any], args: Sequence[Any]) -> Result:
        """What the jaxpr returns, None where the program stops before, and what was recorded."""
        steps = self.program.steps
        shifts = {
            number: spread.shifts(steps[number], self.numbers[number]["choice"], each) if self.spreads(number) else each
            for number, each in self.shifts.items()
        }
        return replace(self, shifts=shifts).through(self.root, consts, args, (), (), {}, self.program.stop)

    def carries(self, state: State) -> dict[Address, Any]:
        """For each of `splits`, what the scan carried before those iterations, and what it returned for all."""
        return {address: state[number] for address, number in self.caught.items()}

    # where steps lie

    @cached_property
    def caught(self) -> dict[Address, int]:
        """For each of `splits`, its place in the state: behind those of the steps."""
        return {address: len(self.program.steps) + number for number, address in enumerate(self.splits)}

    def within(self, address: Address) -> dict[int, Step]:
        """The steps in the jaxpr at `address`, and in what is nested there."""
        return {number: self.program.steps[number] for number in sorted(self._inside.get(address, ()))}

    def spreads(self, number: int) -> bool:
        """Whether a step adds something, of which each device has its own piece."""
        return number in self.shifts and self.program.steps[number].point.spread

    @cached_property
    def _inside(self) -> dict[Address, set[int]]:
        """Of each jaxpr with a step, an entrance or a split inside, the steps."""
        found: dict[Address, set[int]] = {}
        for number, step in enumerate(self.program.steps):
            address = step.point.place.address
            for depth in range(len(address) + 1):
                found.setdefault(address[:depth], set()).add(number)
        for address in (*self.entrances, *self.splits):
            for depth in range(1, len(address) + 1):
                found.setdefault(address[:depth], set())
        return found

    @cached_property
    def _places(self) -> dict[tuple[Address, int], list[tuple[int, list[int]]]]:
        """By jaxpr and equation, each of its variables with the steps there, in order."""
        found: dict[Place, list[int]] = {}
        for number, step in enumerate(self.program.steps):
            found.setdefault(step.point.place, []).append(number)
        made: dict[tuple[Address, int], list[tuple[int, list[int]]]] = {}
        for place in sorted(found, key=lambda place: place.var):
            numbers = sorted(found[place], key=lambda number: not self.program.steps[number].point.early)
            made.setdefault((place.address, place.eqn), []).append((place.var, numbers))
        return made

    def _enters(self, address: Address, number: int, eqn: Any) -> bool:
        """Whether something is to be done inside an equation."""
        return any((*address, (number, each.key)) in self._inside for each in internals.inner(eqn))

    # the pass

    def through(
        self,
        jaxpr: Jaxpr,
        consts: Sequence[Any],
        args: Sequence[Any],
        address: Address,
        counts: Counts,
        state: State,
        stop: bool,
    ) -> Result:
        """What the jaxpr at `address` returns, and the state behind it."""
        env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        env |= dict(zip(jaxpr.invars, args, strict=True))

        def read(v: Any) -> Any:
            return v.val if isinstance(v, Literal) else env[v]

        def at(eqn: int, defined: Sequence[Any], state: State) -> State:
            for var, numbers in self._places.get((address, eqn), ()):
                for number in numbers:
                    reads = [env[_variable(jaxpr, place)] for place in self.program.steps[number].point.reads]
                    env[defined[var]], state = self._step(number, env[defined[var]], reads, counts, state)
            return state

        waiting: list[Any] = []

        def flush() -> None:
            if waiting:
                made, needed, defined = internals.segment(jaxpr, waiting)
                env.update(zip(defined, internals.run(made, (), [env[v] for v in needed]), strict=True))
                waiting.clear()

        state = at(-1, jaxpr.invars, state)
        entering = {number for number, eqn in enumerate(jaxpr.eqns) if self._enters(address, number, eqn)}
        touched = entering | {eqn for around, eqn in self._places if around == address}
        last = max(touched, default=-1)
        for number, eqn in enumerate(jaxpr.eqns):
            if stop and number > last:
                return None, state
            if number in touched and eqn.primitive.name in MARKED:  # its output may be used by nothing
                flush()
                env[eqn.outvars[0]] = read(eqn.invars[0])
            elif number in entering:
                flush()
                given = [read(v) for v in eqn.invars]
                outs, state = entered(self, Nest(eqn, address, number, given, counts, state, stop and number == last))
                if outs is None:
                    return None, state
                env.update(zip(eqn.outvars, outs, strict=True))
            else:
                waiting.append(eqn)
            if (address, number) in self._places:
                flush()
                state = at(number, eqn.outvars, state)
        if stop:
            return None, state
        flush()
        return [read(v) for v in jaxpr.outvars], state

    def _step(self, number: int, value: Any, reads: Sequence[Any], counts: Counts, state: State) -> tuple[Any, State]:
        """A value after one step, and what is recorded then."""
        step, numbers = self.program.steps[number], self.numbers[number]
        entry, here = stepping.turn(step, numbers, counts)
        if step.kind == RECORD:
            part = stepping.part(step, numbers, entry, step.point.shown(value, *reads))
            return value, buffers.recorded(state, number, step, part, entry, here)
        shift = None
        if number in self.shifts:
            shift = self.shifts[number][flat(step.loops, counts) if step.every else entry]
        changed = stepping.changed(step, numbers, entry, here, value, reads, shift)
        if step.flagged:
            state = buffers.flagged(state, number, entry, here)
        return changed, state


def _variable(jaxpr: Jaxpr, place: Place) -> Any:
    return jaxpr.invars[place.var] if place.eqn < 0 else jaxpr.eqns[place.eqn].outvars[place.var]
