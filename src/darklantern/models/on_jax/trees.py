"""Recordings and Values as trees of arrays, so that jitted and mapped functions can return them."""

from typing import Any

import jax

from darklantern.models.recording import Recording, Value

_Told = tuple[Any, ...]


def register() -> None:
    """Tell JAX."""
    jax.tree_util.register_pytree_node(Value, _of_value, _to_value)
    jax.tree_util.register_pytree_node(Recording, _of_recording, _to_recording)


def _of_value(value: Value) -> tuple[_Told, _Told]:
    return (value.array,), (value.site, value.axes, _fixed(value.tokens), value.width)


def _to_value(told: _Told, arrays: Any) -> Value:
    site, axes, tokens, width = told
    (array,) = arrays
    return Value(site, array, axes, tokens, width)


def _of_recording(recording: Recording) -> tuple[_Told, _Told]:
    values = list(recording.values())
    told = tuple((value.site, value.axes) for value in values)
    arrays = tuple(value.array for value in values)
    return (arrays, recording.output), (told, _fixed(recording.tokens), tuple(recording.missed.items()))


def _to_recording(told: _Told, children: Any) -> Recording:
    (rows, tokens, missed), (arrays, output) = told, children
    named = [(site, array, axes) for (site, axes), array in zip(rows, arrays, strict=True)]
    return Recording(named, output, tokens, dict(missed))


def _fixed(tokens: Any) -> Any:
    return None if tokens is None else tuple(map(tuple, tokens))
