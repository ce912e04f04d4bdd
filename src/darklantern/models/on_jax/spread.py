"""Values inside `jax.shard_map`: each device holds a piece, and nothing says how pieces make a whole.

So a site there shows all of them, on a first axis `device`, in the order of the mesh: (8, …) on a mesh of eight. It is
recorded piece by piece, without communication; an edit gets all pieces, for which they are gathered, and each device
goes on with its own. Where types say that a value is the same on all devices along an axis of the mesh, those devices
count as one; what is the same everywhere has no such axis.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

from darklantern.models.on_jax import internals
from darklantern.models.on_jax.choosing import ALL, ONE, SOME_DEVICES, Form, get, put
from darklantern.models.on_jax.internals import Jaxpr
from darklantern.models.on_jax.outline import Address, Shard
from darklantern.models.on_jax.points import Point
from darklantern.models.on_jax.program import Step

AXIS = "device"


def within(point: Point, shards: Sequence[Shard], jaxpr: Jaxpr) -> Point:
    """`point` as those of `shards` that are around it show it."""
    around = [shard for shard in shards if is_in(shard.address, point.place.address)]
    if not around:
        return point
    varying: frozenset[str] = frozenset()
    for place in (point.place, *point.reads):
        varying |= internals.varying(internals.variable(jaxpr, place.address, place.eqn, place.var).aval)
    # Whether a device came here at all is a piece of its own, whatever the value's type says.
    turning = {shard: _turning(point.place.address, shard, jaxpr) for shard in around}
    own = tuple(
        replace(
            shard,
            axes=tuple(a for a in shard.axes if a[0] in turning[shard] or not shard.checked or a[0] in varying),
        )
        for shard in around
    )
    apart = any(turning.values())
    if not any(shard.axes for shard in own):
        return replace(point, shards=own)
    aval = jax.ShapeDtypeStruct((devices(own), *point.aval.shape), point.aval.dtype)
    return replace(point, shards=own, apart=apart, axes=(AXIS, *point.axes), aval=aval)


def _turning(address: Address, shard: Shard, jaxpr: Jaxpr) -> frozenset[str]:
    """The axes of the mesh along which devices may take another branch on the way to `address`, or turn more often."""
    found: frozenset[str] = frozenset()
    for depth in range(len(shard.address), len(address)):
        eqn = internals.below(jaxpr, address[:depth]).eqns[address[depth][0]]
        decides = internals.decides(eqn)
        if decides is not None:
            names = {name for name, _ in shard.axes}
            found |= internals.varying(decides.aval) & names if shard.checked else names
    return found


def is_in(around: Address, address: Address) -> bool:
    return address[: len(around)] == around


def names(shards: Sequence[Shard]) -> tuple[str, ...]:
    return tuple(name for shard in shards for name, _ in shard.axes)


def devices(shards: Sequence[Shard]) -> int:
    """How many of them hold pieces that may differ."""
    return prod(size for shard in shards for _, size in shard.axes)


def pieces(value: Any, shards: Sequence[Shard]) -> Any:
    """What all devices hold, on a first axis; on each of them."""
    return lax.all_gather(value, names(shards), axis=0)


def own(stacked: Any, shards: Sequence[Shard]) -> Any:
    """This device's piece of what has one for each."""
    return lax.dynamic_index_in_dim(stacked, lax.axis_index(names(shards)), keepdims=False)


def alone(form: Form, numbers: Sequence[Any]) -> tuple[Form, Sequence[Any]]:
    """What is chosen of one device's piece, on a first axis of 1. Which devices are chosen is for `of_devices`."""
    return (ALL, *form[1:]), numbers[_numbered(form) :]


def of_devices(stacked: Any, form: Form, numbers: Sequence[Any], axis: int) -> Any:
    """The chosen devices' of what has a piece for each, on `axis`."""
    rest = (ALL,) * (stacked.ndim - 1 - axis)
    return get(stacked, (*(ALL,) * axis, form[0], *rest), numbers[: _numbered(form)])


def of_each(step: Step) -> tuple[int, ...]:
    """The shape of what a step chooses on one device."""
    return step.shape if step.form[0] == ONE else step.shape[1:]


def spec(point: Point, address: Address, before: int) -> PartitionSpec:
    """How what is kept of a point leaves the shard_map at `address`, its axis of devices behind `before` others."""
    cut = next(names((shard,)) for shard in point.shards if shard.address == address)
    return PartitionSpec(*(None,) * before, cut) if cut else PartitionSpec()


def loops_within(step: Step, address: Address) -> int:
    return sum(is_in(address, loop.address) for loop in step.loops)


def shifts(step: Step, numbers: Sequence[Any], given: Any) -> Any:
    """What a step adds for each of its actions, as pieces for all devices: nothing on those that are not chosen."""
    if step.form[0] == ALL:
        return given
    rows = []
    for at in range(given.shape[0]):
        chosen = [each if len(step.actions) == 1 else each[at] for each in numbers][: _numbered(step.form)]
        none = jnp.zeros((devices(step.point.shards), *of_each(step)), given.dtype)
        rows.append(put(none, (step.form[0], *(ALL,) * (none.ndim - 1)), chosen, given[at]))
    return jnp.stack(rows)


class Carries:
    """What scans inside a shard_map carry, on the way out of it and in again."""

    def __init__(self, shard: Shard, jaxpr: Jaxpr) -> None:
        self._shard = shard
        self._jaxpr = jaxpr

    def specs(self, scan: Address) -> tuple[PartitionSpec, ...]:
        """One for each carried value: devices on a first axis, where it may differ."""
        return tuple(PartitionSpec(cut) if cut else PartitionSpec() for cut in self._cuts(scan))

    def outside(self, scan: Address, carry: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(each[None] if cut else each for each, cut in zip(carry, self._cuts(scan), strict=True))

    def inside(self, scan: Address, carry: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(each[0] if cut else each for each, cut in zip(carry, self._cuts(scan), strict=True))

    def _cuts(self, scan: Address) -> list[tuple[str, ...]]:
        *address, (number, _) = scan[len(self._shard.address) :]
        eqn = internals.below(self._jaxpr, address).eqns[number]
        carried = eqn.outvars[: internals.scan(eqn).carry]
        axes = [name for name, _ in self._shard.axes]
        if not self._shard.checked:
            return [tuple(axes) for _ in carried]
        return [tuple(name for name in axes if name in internals.varying(v.aval)) for v in carried]


def _numbered(form: Form) -> int:
    return int(form[0] in (ONE, SOME_DEVICES))
