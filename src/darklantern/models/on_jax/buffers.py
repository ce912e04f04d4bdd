"""What steps in loops and branches record, on its way out: a buffer of the recorded iterations for each step.

So a few layers of a scan cost a few layers' memory. A step that may not run has flags beside its buffer, which say
where it ran. What all iterations of a scan record is the scan's own output, and has no buffer.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from darklantern.models.on_jax import internals, spread, stepping
from darklantern.models.on_jax.internals import Jaxpr, laid_out
from darklantern.models.on_jax.outline import Address
from darklantern.models.on_jax.program import RECORD, Step
from darklantern.models.on_jax.stepping import Numbers

State = dict[int, Any]
"""by a step's number: what it has recorded so far"""


def is_output(step: Step) -> bool:
    """Whether what a step records is an output of the scans around it: every iteration's."""
    return step.kind == RECORD and bool(step.loops) and not step.flagged and step.covers


def has_state(step: Step) -> bool:
    return step.kind == RECORD or step.flagged


def is_carried(step: Step) -> bool:
    """Whether it has a buffer, which loops and branches around it carry."""
    return has_state(step) and not is_output(step)


def recorded(state: State, number: int, step: Step, part: Any, entry: Any, here: Any) -> State:
    """`state` with what a step recorded in one iteration."""
    if is_output(step):
        return state | {number: part}
    if number not in state:
        return state | {number: part[None]}
    held = state[number]
    if isinstance(held, tuple):
        held, flags = held
        return state | {number: (kept(held, part, entry, here), kept(flags, _true(flags), entry, here))}
    return state | {number: kept(held, part, entry, here)}


def flagged(state: State, number: int, entry: Any, here: Any) -> State:
    """`state` with a flag that an edit ran."""
    return state | {number: kept(state[number], _true(state[number]), entry, here)}


def kept(held: Any, part: Any, entry: Any, here: Any) -> Any:
    """A buffer with `part` in place `entry`, if `here`."""
    if here is not None:
        part = jnp.where(here, part, lax.dynamic_index_in_dim(held, entry, keepdims=False))
    return lax.dynamic_update_index_in_dim(held, part, entry, 0)


def begun(state: State, steps: Mapping[int, Step], numbers: Iterable[Numbers], address: Address, root: Jaxpr) -> State:
    """The state of `steps` in the jaxpr at `address`, empty where nothing was recorded yet."""
    given = list(numbers)
    return {
        number: state[number] if number in state else _empty(step, given[number], address, root)
        for number, step in steps.items()
    }


def _empty(step: Step, numbers: Numbers, address: Address, root: Jaxpr) -> Any:
    """Within a shard_map the buffers of one device, else those of all."""
    point = step.point
    count = 1 if not step.loops or step.every else len(step.actions)
    entered = [shard for shard in point.shards if spread.is_in(shard.address, address)]
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
        like = _cut(step, numbers, root)
        buffer = buffer if like is None else laid_out(buffer, like, 1)
    return (buffer, flags) if step.flagged else buffer


def _cut(step: Step, numbers: Numbers, root: Jaxpr) -> Any:
    """What a step records, as a type that says how it is cut over a mesh; None where types do not say."""
    places = [step.point.place, *step.point.reads]
    avals = [internals.variable(root, each.address, each.eqn, each.var).aval for each in places]
    if not internals.explicit(avals[0]):
        return None
    given = [jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=aval.sharding) for aval in avals]
    return jax.eval_shape(lambda *given: stepping.part(step, numbers, 0, step.point.shown(*given)), *given)


def _true(flags: Any) -> Any:
    return jnp.ones(flags.shape[1:], bool)
