"""A selection on a JAX array: its form, which a compiled function is made for, and its numbers, which go in as arrays.

So one compiled function serves `[head=2]` and `[head=5]`. Arrays cannot be written to: `put` makes a new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from darklantern.models.selecting import Selection
from darklantern.models.sites import Each

Form = tuple[Any, ...]
"""for each axis: a slice's ends, ALL, ONE, SOME, SOME_DEVICES or EACH"""
ALL, ONE, SOME, EACH = "all", "one", "some", "each"
SOME_DEVICES = "some devices"
"""SOME of the axis of devices, which never stand for examples"""


@dataclass(frozen=True)
class Choice:
    """What is selected of a value."""

    form: Form
    numbers: tuple[Any, ...]
    """for each axis of ONE, SOME or EACH, its numbers"""

    @classmethod
    def of(cls, chosen: Selection) -> "Choice":
        form: list[Any] = []
        numbers: list[Any] = []
        for at in chosen.index:
            if isinstance(at, slice):
                form.append(ALL if at == slice(None) else (at.start, at.stop))
            else:
                some = SOME_DEVICES if chosen.axes[len(form)] == "device" else SOME
                form.append(ONE if isinstance(at, int) else EACH if isinstance(at, Each) else some)
                numbers.append(np.asarray(at, np.int32))
        return cls(tuple(form), tuple(numbers))


def whole(form: Form) -> bool:
    return all(each == ALL for each in form)


def get(value: Any, form: Form, numbers: Sequence[Any]) -> Any:
    """The chosen part of `value`."""
    if whole(form):
        return value
    if EACH in form:
        batch, at, form, rows, places, rest = _paired(form, numbers)
        chosen = jnp.take(value, rows, batch)
        inner = tuple(each for axis, each in enumerate(form) if axis != batch)
        out = sum(each != ONE for each in form[:batch])
        return jax.vmap(lambda row, place: get(row, inner, _placed(inner, rest, at, batch, place)), (batch, 0), out)(
            chosen, places
        )
    axis, given = 0, iter(numbers)
    for each in form:
        if each == ONE:
            value = lax.dynamic_index_in_dim(value, next(given), axis, keepdims=False)
            continue
        if each in (SOME, SOME_DEVICES):
            value = jnp.take(value, next(given), axis)
        elif each != ALL:
            value = lax.slice_in_dim(value, *slice(*each).indices(value.shape[axis])[:2], axis=axis)
        axis += 1
    return value


def put(value: Any, form: Form, numbers: Sequence[Any], new: Any) -> Any:
    """`value` with `new` in place of its chosen part."""
    if whole(form):
        return new
    if EACH in form:
        batch, at, form, rows, places, rest = _paired(form, numbers)
        chosen = jnp.take(value, rows, batch)
        inner = tuple(each for axis, each in enumerate(form) if axis != batch)
        out = sum(each != ONE for each in form[:batch])

        def one(row: Any, place: Any, part: Any) -> Any:
            return put(row, inner, _placed(inner, rest, at, batch, place), part)

        changed = jax.vmap(one, (batch, 0, out), batch)(chosen, places, new)
        return value.at[(*(slice(None),) * batch, rows)].set(changed)
    first = next(axis for axis, each in enumerate(form) if each != ALL)
    here, left = form[first], (*form[:first], ALL, *form[first + 1 :])
    if here == ONE:
        taken = lax.dynamic_index_in_dim(value, numbers[0], first, keepdims=False)
        changed = put(taken, (*form[:first], *form[first + 1 :]), numbers[1:], new)
        return lax.dynamic_update_index_in_dim(value, changed, numbers[0], first)
    ends = isinstance(here, tuple)
    place = (*(slice(None),) * first, slice(*here) if ends else numbers[0])
    return value.at[place].set(put(value[place], left, numbers if ends else numbers[1:], new))


def _paired(form: Form, numbers: Sequence[Any]) -> tuple[int, int, Form, Any, Any, list[Any]]:
    """A choice of one position for each example: the axes of both, their numbers, and the numbers of the rest."""
    numbered = [axis for axis, each in enumerate(form) if each in (ONE, SOME, SOME_DEVICES, EACH)]
    held = dict(zip(numbered, numbers, strict=True))
    at = form.index(EACH)
    batch = next(axis for axis in numbered if form[axis] == SOME and held[axis].shape == held[at].shape)
    form = tuple(ONE if axis == at else each for axis, each in enumerate(form))
    rest = [held[axis] for axis in numbered if axis not in (batch, at)]
    return batch, at, form, held[batch], held[at], rest


def _placed(inner: Form, rest: Sequence[Any], at: int, batch: int, place: Any) -> list[Any]:
    """The numbers of one example's choice, with its own position among them."""
    at = at - (batch < at)
    before = sum(each in (ONE, SOME, SOME_DEVICES) for each in inner[:at])
    return [*rest[:before], place, *rest[before:]]
