"""Runs of a plan: traced once, compiled once, called with the arrays of this run."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from darklantern.errors import SiteError
from darklantern.models.on_jax import spread
from darklantern.models.on_jax.naming import Naming
from darklantern.models.on_jax.outline import Address
from darklantern.models.on_jax.planning import Lengths, Plan, Prepared, Row, prepared
from darklantern.models.on_jax.program import Action, Program
from darklantern.models.on_jax.rewriting import Entrance, Rewriting, State, step_is_output
from darklantern.models.on_jax.tracing import Given, Trace

_MOST = 128
"""compiled functions, or plans, kept for a trace"""


class Kept(OrderedDict[Hashable, Any]):
    """The latest few of what is costly to make."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = RLock()

    def made(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self:
                self.move_to_end(key)
                return self[key]
            self[key] = found = make()
            while len(self) > _MOST:
                self.popitem(last=False)
            return found


@dataclass(eq=False)
class Traced:
    """A trace with its names, and what was compiled for it."""

    trace: Trace
    naming: Naming
    custom: bool
    """functions with derivatives of their own may be opened up"""
    compiled: Kept = field(default_factory=Kept)
    plans: Kept = field(default_factory=Kept)

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
        carries = {address: entrance.carry for address, entrance in self.entrances.items()}
        return traced.trace.consts, self.weights, self.given.arrays, carries


@dataclass(frozen=True, eq=False)
class Made:
    """What a run made."""

    outs: list[Any] | None
    values: list[list[Any]]
    """for each row, the value of each of its actions"""
    carries: Mapping[Address, Any]


def run(traced: Traced, plan: Prepared, call: Call, splits: Mapping[Address, int] | None = None) -> Made:
    """Run a plan. Raises SiteError for a site in a branch or a loop that did not run.

    Of the scans in `splits`, what they carry before that iteration is in `.carries`.
    """
    function = _compiled(traced, plan, call, splits or {})
    outs, values, flags, carries = function(*call.arguments(traced), numbers(plan.program), {})
    check_fired(plan.program, flags)
    return Made(outs, values, carries)


def lowered(traced: Traced, plan: Prepared, call: Call) -> Any:
    """The run as XLA is given it: to be compiled, and asked for what it costs."""
    return _compiled(traced, plan, call, {}).lower(*call.arguments(traced), numbers(plan.program), {})


def numbers(built: Program) -> list[dict[str, Any]]:
    return [step.numbers() for step in built.steps]


def _compiled(traced: Traced, plan: Prepared, call: Call, splits: Mapping[Address, int]) -> Callable[..., Any]:
    firsts = tuple((address, entrance.first) for address, entrance in call.entrances.items())
    own = (firsts, tuple(splits.items()))
    if own not in plan.compiled:  # the plan's own key is long: to hash it takes longer than to run some models
        order = tuple(tuple(plan.place[action] for action in row.actions) for row in plan.rows)
        plan.compiled[own] = traced.compiled.made(
            (plan.program.key, order, *own), lambda: jax.jit(core(traced, plan.program, order, dict(firsts), splits))
        )
    return plan.compiled[own]


def core(
    traced: Traced,
    built: Program,
    order: Sequence[Sequence[tuple[int, int]]],
    firsts: Mapping[Address, int],
    splits: Mapping[Address, int] | None = None,
) -> Callable[..., Any]:
    """The program on the trace as a pure function of its arrays.

    (constants, weights, inputs, carries, numbers, shifts) → (outputs, values, flags, what scans in `splits` carried)
    """

    def function(consts: Any, weights: Any, arrays: Any, carries: Any, numbers: Any, shifts: Any) -> Any:
        entrances = {address: Entrance(first, carries[address]) for address, first in firsts.items()}
        rewriting = Rewriting(built, numbers, shifts, entrances, splits or {}, traced.custom)
        outs, state = rewriting.run(traced.trace.jaxpr, consts, [*weights, *arrays])
        values = [[_value(built, state, numbers, step, at) for step, at in row] for row in order]
        return outs, values, _flags(built, state), rewriting.carries

    return function


def _value(built: Program, state: State, numbers: Any, number: int, at: int) -> Any:
    """What one action recorded."""
    step, held = built.steps[number], state[number]
    if step.flagged:
        held = held[0]
    if step_is_output(step):
        loops = len(step.loops)
        flat = held.reshape(-1, *held.shape[loops:])
        found = flat if step.every else flat[at]
    else:
        found = held[at]
    if not step.point.spread:
        return found
    choice = [each if len(step.actions) == 1 else each[at] for each in numbers[number]["choice"]]
    return spread.of_devices(found, step.form, choice, axis=int(step.every and step_is_output(step)))


def _flags(built: Program, state: State) -> dict[int, Any]:
    return {
        number: state[number][1] if isinstance(state[number], tuple) else state[number]
        for number, step in enumerate(built.steps)
        if step.flagged
    }


def check_fired(built: Program, flags: Mapping[int, Any]) -> None:
    """Raises SiteError for an action in a branch, or beyond a loop's end, that never came about."""
    for number, flag in flags.items():
        if isinstance(flag, jax.core.Tracer):
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
