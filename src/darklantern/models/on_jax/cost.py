"""How much of a model a run executes: counted in its equations, of those that anything asked for depends on.

XLA leaves out what nothing depends on; the same is left out here, so what is counted is what runs. Of a scan the body's
equations count once for each iteration, of a branch the costlier side, of a while loop one turn, for nobody knows how
many there are. A table that is looked up in is read as far as it is looked up in.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import jax

from darklantern.models.executed import Executed
from darklantern.models.on_jax import internals
from darklantern.models.on_jax.internals import Literal
from darklantern.models.on_jax.planning import Prepared
from darklantern.models.on_jax.running import Call, Traced, core, numbers

_PARTS = frozenset({"slice", "dynamic_slice", "gather", "squeeze"})
"""operations that read no more than they return"""


def measured(traced: Traced, plan: Prepared, call: Call, parameters: Sequence[bool]) -> Executed:
    """What a run of `plan` executes, beside a full one. `parameters` says which of the weights training changes."""
    function = core(traced, plan.program, plan.order)
    consts, weights, arrays, entered = call.arguments(traced)

    def counted(consts: Any, weights: Any, arrays: Any) -> Any:
        # Where a scan is entered is no argument here: then the iterations before are not there to be counted.
        return function(consts, weights, arrays, entered, numbers(plan.program), {}, {})

    closed = jax.make_jaxpr(counted)(consts, weights, arrays)
    before = len(jax.tree.leaves(consts))
    sizes = [leaf.size if counts else 0 for leaf, counts in zip(call.weights, parameters, strict=True)]
    flops, reads = _live(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    full, _ = _live(traced.trace.jaxpr, [True] * len(traced.trace.jaxpr.outvars))
    read = sum(min(reads[before + number], size) for number, size in enumerate(sizes))
    return Executed(int(read), sum(sizes), int(flops), int(full))


def _live(jaxpr: Any, needed: Sequence[bool]) -> tuple[float, list[float]]:
    """Operations that the needed outputs depend on, and how many numbers are read of each input."""
    reads: dict[Any, float] = {}
    for v, is_needed in zip(jaxpr.outvars, needed, strict=True):
        if is_needed and not isinstance(v, Literal):
            reads[v] = v.aval.size
    flops = 0.0
    for eqn in reversed(jaxpr.eqns):
        wanted = [v in reads for v in eqn.outvars]
        if not any(wanted) and not eqn.effects:
            continue
        cost, taken = _of(eqn, wanted, [reads.get(v, 0) for v in eqn.outvars])
        flops += cost
        for v, count in zip(eqn.invars, taken, strict=True):
            if count and not isinstance(v, Literal):
                reads[v] = min(reads.get(v, 0) + count, v.aval.size)
    return flops, [reads.get(v, 0) for v in jaxpr.invars]


def _of(eqn: Any, wanted: Sequence[bool], read: Sequence[float]) -> tuple[float, list[float]]:
    """What one equation costs, and how much of its operands it reads."""
    name, inside = eqn.primitive.name, internals.inner(eqn)
    if name == "scan":
        return _scan(eqn, inside[0], list(wanted))
    if name == "while":
        flops, _ = _live(inside[0].jaxpr, [True] * len(inside[0].jaxpr.outvars))
        return flops, [v.aval.size for v in eqn.invars]
    if name == "cond":
        sides = [_live(branch.jaxpr, wanted) for branch in inside]
        most = [max(each) for each in zip(*(taken for _, taken in sides), strict=True)]
        return max(flops for flops, _ in sides), [1, *most]
    if name == "shard_map":
        flops, taken = _live(inside[0].jaxpr, wanted)
        devices = prod(internals.shards(eqn).options["mesh"].shape[axis] for axis in internals.shards(eqn).axes)
        return flops * devices, [v.aval.size if count else 0 for v, count in zip(eqn.invars, taken, strict=True)]
    if inside:
        return _live(inside[0].jaxpr, wanted)
    if name in _PARTS:
        return 0.0, [max(read), *(v.aval.size for v in eqn.invars[1:])]
    return _multiplied(eqn), [v.aval.size for v in eqn.invars]


def _scan(eqn: Any, inside: internals.Inner, wanted: list[bool]) -> tuple[float, list[float]]:
    scan = internals.scan(eqn)
    while True:  # what is carried is needed, too, where the next iteration needs it
        flops, taken = _live(inside.jaxpr, wanted)
        again = [one or bool(count) for one, count in zip(wanted, taken[scan.consts :], strict=False)][: scan.carry]
        if again == wanted[: scan.carry]:
            break
        wanted = [*again, *wanted[scan.carry :]]
    turns: Mapping[bool, int] = {True: scan.length, False: 1}
    sliced = scan.consts + scan.carry
    return flops * scan.length, [count * turns[number >= sliced] for number, count in enumerate(taken)]


def _multiplied(eqn: Any) -> float:
    """Multiplications and additions of products and convolutions; others cost nothing beside them."""
    if eqn.primitive.name == "dot_general":
        depth = prod(eqn.invars[0].aval.shape[axis] for axis in internals.contraction(eqn).summed[0])
        return 2.0 * eqn.outvars[0].aval.size * depth
    if eqn.primitive.name == "conv_general_dilated":
        kernel = eqn.invars[1].aval
        filters = kernel.shape[internals.convolution(eqn).filters]
        return 2.0 * eqn.outvars[0].aval.size * kernel.size / filters
    return 0.0
