"""One step of a program on one value: what is recorded of it, or what it becomes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from darklantern.errors import SiteError
from darklantern.models.on_jax import spread
from darklantern.models.on_jax.choosing import ALL, get, put, whole
from darklantern.models.on_jax.internals import laid_out, loosened
from darklantern.models.on_jax.program import EDIT, SHIFT, Step, flat

Numbers = Mapping[str, Any]
"""of a step, what goes in when it runs"""
Counts = tuple[Any, ...]
"""the iteration of each loop around, outermost first"""


def turn(step: Step, numbers: Numbers, counts: Counts) -> tuple[Any, Any]:
    """Which of the step's actions this iteration is for, and whether it is for one; (0, None) for always one."""
    if not step.loops or step.every:
        return 0, None
    if step.total is None:
        same = jnp.all(numbers["at"] == jnp.stack([jnp.asarray(count, jnp.int32) for count in counts]), axis=1)
        return jnp.argmax(same), jnp.any(same)
    if step.covers:
        return flat(step.loops, counts), None
    entry = jnp.asarray(numbers["table"])[flat(step.loops, counts)]
    count = len(step.actions)
    return jnp.minimum(entry, count - 1), entry < count


def part(step: Step, numbers: Numbers, entry: Any, shown: Any) -> Any:
    """What a step records of what is shown. Of a piece in a shard_map, which devices are chosen comes afterwards."""
    choice = _choice(step, numbers, entry)
    if step.point.spread:
        return get(shown[None], *spread.alone(step.form, choice))
    return get(loosened(shown, [each != ALL for each in step.form]), step.form, choice)


def changed(step: Step, numbers: Numbers, entry: Any, here: Any, value: Any, reads: Sequence[Any], shift: Any) -> Any:
    """What a value becomes by an edit, or with `shift` added; where not `here`, itself."""
    choice = _choice(step, numbers, entry)
    operands = [_of(step, each, entry) for each in numbers["operands"]] if step.kind == EDIT else [shift]

    def made(value: Any, reads: Sequence[Any], operands: Sequence[Any]) -> Any:
        def change(old: Any) -> Any:
            return _edited(step, old, operands) if step.kind == EDIT else old + operands[0]

        new = _put(step, step.point.shown(value, *reads), choice, change)
        return laid_out(step.point.hidden(new, value, *reads).astype(value.dtype), value)

    if here is None:
        return made(value, reads, operands)
    if step.edit is not None and step.edit.reads and not step.point.spread:
        # A user's own function runs where it is meant alone: it may be costly, or do something besides.
        return lax.cond(here, made, lambda value, *_: value, value, reads, operands)
    # It is computed in all iterations. Elsewhere it may have no derivative (a norm of 0), which times 0 would be NaN.
    there = [_still(each, here) for each in (value, *reads, *operands)]
    inputs, numbers_of_it = there[: len(reads) + 1], there[len(reads) + 1 :]
    return jnp.where(here, made(inputs[0], inputs[1:], numbers_of_it), value)


def _still(array: Any, here: Any) -> Any:
    """`array`, which no gradient flows back to unless `here`."""
    if not jnp.issubdtype(jnp.result_type(array), jnp.inexact):
        return array
    return jnp.where(here, array, lax.stop_gradient(array))


def _choice(step: Step, numbers: Numbers, entry: Any) -> list[Any]:
    return [_of(step, each, entry) for each in numbers["choice"]]


def _of(step: Step, each: Any, entry: Any) -> Any:
    """A step's array for one of its actions."""
    if len(step.actions) == 1:
        return each
    return lax.dynamic_index_in_dim(jnp.asarray(each), entry, keepdims=False)


def _put(step: Step, shown: Any, choice: Sequence[Any], change: Callable[[Any], Any]) -> Any:
    """What is shown, with its chosen part changed. In a shard_map an edit gets all devices' pieces: it may mix them."""
    form, shards = step.form, step.point.shards
    spreads, alone = step.point.spread, step.kind == SHIFT
    if spreads:
        shown = shown[None] if alone else spread.pieces(shown, shards)
        form, choice = spread.alone(form, choice) if alone else (form, choice)
    if whole(form):
        made = change(shown)
    else:
        shown = loosened(shown)
        made = put(shown, form, choice, loosened(change(get(shown, form, choice))))
    if not spreads:
        return made
    return made[0] if alone else spread.own(made, shards)


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
