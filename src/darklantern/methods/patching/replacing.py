"""What an ablation puts in a value's place: zeros, a mean, or what other examples have there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.models.edits import add, project, put, zero
from darklantern.models.opened import Model
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import backend_of, convert, framework_of, numbers
from darklantern.models.sites import Site


@dataclass(frozen=True)
class Subspace:
    """The directions in which values are ablated; the rest of a value stays."""

    rows: Any
    """(n, dim) NumPy, orthonormal"""

    @classmethod
    def spanned(cls, directions: Any) -> "Subspace":
        """By directions, (dim,) or (n, dim)."""
        given = np.atleast_2d(np.asarray(numbers(directions), dtype=np.float64))
        if given.ndim != 2 or not np.isfinite(given).all() or not given.any():
            raise MethodError(
                f"expected finite directions (dim,) or (n, dim) as basis, got shape {given.shape}",
                hint="at least one of them not 0",
            )
        _, sizes, rows = np.linalg.svd(given, full_matrices=False)
        return cls(rows[sizes > sizes[0] * max(given.shape) * np.finfo(np.float64).eps])

    def part(self, value: Value) -> Value:
        """Of a value, along its last axis, what lies in it."""
        array = value.array
        rows = backend_of(array).like(convert(self.rows, framework_of(array)), array)
        return replace(value, array=(array @ rows.T) @ rows)


def edits_for(cell: Site, value: Value | None, subspace: Subspace | None) -> list[Any]:
    """What puts `value` at `cell`, zeros if it is None; or only its part in a subspace."""
    part = None if value is None else value.at(**_pins(cell, value))
    if subspace is None:
        return [zero() if part is None else put(part)]
    removed = project(subspace.rows)
    return [removed] if part is None else [removed, add(subspace.part(part))]


def means(model: Model, batches: Iterable[Any], wholes: Sequence[Site]) -> dict[Site, Value]:
    """The mean over all examples of all batches, position by position; only sums are held."""
    sums: dict[Site, Value] = {}
    count = 0
    for batch in batches:
        found = model.record(batch, *wholes)
        for site in wholes:
            total = _value(found, site).sum("batch")
            sums[site] = total if count == 0 else _added(sums[site], total)
        count += _examples(_value(found, wholes[0]))
    if count < 2:
        raise MethodError(
            f"the mean over {count} examples: nothing would be ablated", hint="a larger batch, or reference inputs"
        )
    return {site: total / count for site, total in sums.items()}


def drawn(pool: Recording, wholes: Sequence[Site], order: Sequence[int]) -> Mapping[Site, Value]:
    """What the examples in `order` have, in that order."""
    return {site: _value(pool, site).at(batch=list(order)) for site in wholes}


def order_of(count: int, pool: int, own: bool, rng: np.random.Generator) -> list[int]:
    """For each of `count` examples one of a pool, drawn; never its own where the pool is the examples themselves."""
    if own:
        if count < 2:
            raise MethodError("resampling one example from itself ablates nothing", hint="a batch, or reference inputs")
        cycle = rng.permutation(count)
        source = np.empty_like(cycle)
        source[cycle] = np.roll(cycle, 1)
        return [int(each) for each in source]
    if pool >= count:
        return [int(each) for each in rng.permutation(pool)[:count]]
    return [int(each) for each in rng.integers(0, pool, count)]


def _value(recording: Recording, site: Site) -> Value:
    value = recording[site]
    if "batch" not in value.axes:
        raise MethodError(f"{site} has no examples to draw or average", hint='how="zero"')
    return value


def _examples(value: Value) -> int:
    return value.shape[value.axes.index("batch")]


def _added(one: Value, other: Value) -> Value:
    if one.shape != other.shape:
        raise MethodError(
            f"{one.site} has shape {one.shape} in one batch of the reference and {other.shape} in another",
            hint="batches of one length",
        )
    return one + other


def _pins(cell: Site, value: Value) -> dict[str, Any]:
    return {axis: pin for axis, pin in cell.select if axis in value.axes}
