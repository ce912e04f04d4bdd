"""Runs of a plan: traced once, compiled once, called with the arrays of this run."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from threading import RLock
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from darklantern.errors import SiteError
from darklantern.models.on_jax import spread
from darklantern.models.on_jax.buffers import State, is_output
from darklantern.models.on_jax.internals import Tracer
from darklantern.models.on_jax.naming import Naming
from darklantern.models.on_jax.nested import Entrance
from darklantern.models.on_jax.outline import Address
from darklantern.models.on_jax.planning import Lengths, Plan, Prepared, Row, prepared
from darklantern.models.on_jax.program import Action, Program
from darklantern.models.on_jax.rewriting import Rewriting
from darklantern.models.on_jax.tracing import Given, Trace
from darklantern.models.passes import note

_COMPILED = 128
"""how many compiled functions are kept of a trace"""


class Kept:
    """The latest `most` of what is costly to make."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[Hashable, Any] = {}
        self._lock = RLock()

    def made(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What there is under `key`, made if there is nothing: once, whoever asks meanwhile waits."""
        with self._lock:
            found = self._held.pop(key) if key in self._held else make()
            self._held[key] = found
            while len(self._held) > self._most:
                del self._held[next(iter(self._held))]
            return found


@dataclass(eq=False)
class Traced:
    """A trace with its names, and what was compiled for it."""

    key: Hashable
    """what was traced, weights and shapes aside"""
    trace: Trace
    naming: Naming
    custom: bool
    """functions with derivatives of their own may be opened up"""
    compiled: Kept = field(default_factory=lambda: Kept(_COMPILED))

    def prepared(self, plan: Plan, lengths: Lengths) -> Prepared:
        key = (self, None if lengths is None else tuple(lengths))
        if key not in plan.prepared:
            plan.prepared[key] = prepared(plan, self.naming, lengths)
        return plan.prepared[key]


@dataclass(frozen=True, eq=False)
class Call:
    """What goes into one run."""

    weights: list[Any]
    given: Given
    entrances: Mapping[Address, Entrance] = field(default_factory=dict)

    def arguments(self, traced: Traced) -> tuple[Any, ...]:
        entered = {address: (each.first, each.carry, each.rows) for address, each in self.entrances.items()}
        return traced.trace.consts, self.weights, self.given.arrays, entered


@dataclass(frozen=True, eq=False)
class Made:
    """What a run made."""

    outs: list[Any] | None
    values: list[list[Any]]
    """for each row, the value of each of its actions"""
    carries: Mapping[Address, Any]
    """for each scan that was asked for, what it carried, and what it returned for each iteration"""


def run(traced: Traced, plan: Prepared, call: Call, splits: Mapping[Address, Sequence[int]] | None = None) -> Made:
    """Run a plan. Raises SiteError for a site in a branch or a loop that did not run.

    Of the scans in `splits`, what they carry before those iterations is in `.carries`.
    """
    note(forward=1, partial=int(bool(call.entrances) or plan.program.stop))
    function = compiled(traced, plan)
    asked = {address: np.asarray(each, np.int32) for address, each in (splits or {}).items()}
    outs, values, flags, carries = function(*call.arguments(traced), numbers(plan.program), {}, asked)
    check_fired(plan.program, flags)
    return Made(outs, values, carries)


def numbers(built: Program) -> list[dict[str, Any]]:
    return [step.numbers() for step in built.steps]


def compiled(traced: Traced, plan: Prepared, axes: Any = None) -> Callable[..., Any]:
    """The plan's `core`, compiled; with `axes`, of several sets of numbers at once, which have them there."""
    leaves, tree = jax.tree.flatten(axes, is_leaf=lambda leaf: leaf is None)
    own = (tuple(leaves), tree, plan.program.reads())
    if found := plan.compiled.get(own):  # the plan's whole key is long: to hash it takes longer than to run some models
        return found
    order = plan.order

    mine = False

    def make() -> Callable[..., Any]:
        nonlocal mine
        mine = True
        function = core(traced, plan.program.bare(), order)
        if axes is not None:
            function = jax.vmap(function, in_axes=(None, None, None, None, axes, None, None))
        return jax.jit(function)

    found = traced.compiled.made((plan.program.key, order, *own), make)

    def called(*arguments: Any) -> Any:
        try:
            return found(*arguments)
        except Exception:  # noqa: BLE001 - raised again, whatever it is, with this plan's sites instead of the other's
            return make()(*arguments)

    plan.compiled[own] = found if mine else called
    return plan.compiled[own]


def core(traced: Traced, built: Program, order: Sequence[Sequence[tuple[int, int]]]) -> Callable[..., Any]:
    """The program on the trace as a pure function of its arrays.

    (constants, weights, inputs, entrances, numbers, shifts, splits) → (outputs, values, flags, what scans in `splits`
    carried)
    """

    stacks = {number for number, step in enumerate(built.steps) if is_output(step)}

    def function(
        consts: Any, weights: Any, arrays: Any, entered: Any, numbers: Any, shifts: Any, splits: Any
    ) -> tuple[Any, ...]:
        entrances = {address: Entrance(*each) for address, each in entered.items()}
        rewriting = Rewriting(traced.trace.jaxpr, built, numbers, shifts, entrances, splits, traced.custom)
        outs, state = rewriting.run(consts, [*weights, *arrays])
        # XLA would merge a scan's last copy with the cutting up of it, and do both more slowly: decision 0008.
        state = {n: lax.optimization_barrier(held) if n in stacks else held for n, held in state.items()}
        values = [[_value(built, state, numbers, step, at) for step, at in row] for row in order]
        return outs, values, _flags(built, state), rewriting.carries(state)

    return function


def _value(built: Program, state: State, numbers: Any, number: int, at: int) -> Any:
    """What one action recorded."""
    step, held = built.steps[number], state[number]
    if step.flagged:
        held = held[0]
    if is_output(step):
        # As `flat` counts: the calls of a loop that runs backwards in the order in which they were made.
        if backwards := [n for n, loop in enumerate(step.loops) if loop.reverse and not loop.layers]:
            held = jnp.flip(held, backwards)
        loops = len(step.loops)
        rows = held.reshape(prod(held.shape[:loops]), *held.shape[loops:])
        found = rows if step.every else rows[at]
    else:
        found = held[at]
    if not step.point.spread:
        return found
    choice = [each if len(step.actions) == 1 else each[at] for each in numbers[number]["choice"]]
    return spread.of_devices(found, step.form, choice, axis=int(step.every and is_output(step)))


def _flags(built: Program, state: State) -> dict[int, Any]:
    return {
        number: state[number][1] if isinstance(state[number], tuple) else state[number]
        for number, step in enumerate(built.steps)
        if step.flagged
    }


def check_fired(built: Program, flags: Mapping[int, Any]) -> None:
    """Raises SiteError for an action in a branch, or beyond a loop's end, that never came about."""
    for number, flag in flags.items():
        if isinstance(flag, Tracer):
            raise SiteError(
                f"{built.steps[number].actions[0].site} lies in a branch or a while loop, and inside your own jit or "
                "grad nobody can tell whether it ran",
                hint="call it outside of jit, or choose a site behind the branch",
            )
        for action, fired in zip(built.steps[number].actions, flag, strict=False):
            if not bool(np.all(fired)) and (missed := _missed(action, np.asarray(fired))):
                where = f" on devices {', '.join(missed)}" if np.any(fired) else ""
                raise SiteError(
                    f"the run never reached {action.site}{where}",
                    hint="it lies in a branch that was not taken, or in a loop that ended before; choose another site",
                )


def _missed(action: Action, fired: np.ndarray[Any, Any]) -> list[str]:
    """The devices, of those that an action asks for, which did not reach it; one without a number outside of all."""
    if not action.visit.point.spread:
        return [""]
    asked = spread.of_devices(np.arange(len(fired)), action.choice.form, action.choice.numbers, axis=0)
    return [str(device) for device in np.atleast_1d(asked) if not fired[device]]


def joined(row: Row, values: Sequence[Any]) -> Any:
    """The values of a row's actions as one."""
    if row.site.call != "*":
        return values[0]
    if len(row.actions) == 1:
        return values[0] if row.actions[0].visit.is_every else values[0][None]
    if row.actions[0].visit.is_every:  # several in each turn of a loop: in the order of the turns
        stacked = jnp.stack(values, 1)
        return stacked.reshape(-1, *stacked.shape[2:])
    return jnp.stack(values)
