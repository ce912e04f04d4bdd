"""Data as batches that a model takes: prompts a few at a time, one batch as it is, many as they come."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from darklantern.errors import MethodError
from darklantern.models.calling import Inputs
from darklantern.models.shim import is_array


def batches(inputs: Any, at_once: int) -> Iterator[Any]:
    """`inputs` as what a model takes, one after the other, held no longer than they are used.

    Prompts go `at_once` a batch. An array, a batch, a mapping, `Inputs` or a tuple (positional arguments) is one batch.
    Any other iterable holds batches, each as one of these. Raises MethodError for what is none of them and for nothing.
    """
    if at_once < 1:
        raise MethodError(f"at_once must be 1 or more prompts a batch, got {at_once}", hint="at_once=32, say")
    empty = True
    for batch in _each(inputs, at_once):
        empty = False
        yield batch
    if empty:
        raise MethodError("expected inputs, got none", hint="a generator that ran before is empty: hand over a list")


def _each(inputs: Any, at_once: int) -> Iterable[Any]:
    if isinstance(inputs, str):
        return [[inputs]]
    if isinstance(inputs, list) and inputs and all(isinstance(each, str) for each in inputs):
        return (inputs[first : first + at_once] for first in range(0, len(inputs), at_once))
    if is_array(inputs) and inputs.ndim and not inputs.shape[0]:
        raise MethodError(f"expected inputs, got an array of shape {tuple(inputs.shape)}", hint="one example at least")
    if is_array(inputs) or isinstance(inputs, Mapping | tuple | Inputs):
        return [inputs]
    if isinstance(inputs, Iterable):
        return inputs
    raise MethodError(
        f"expected prompts, a batch or batches, got {type(inputs).__name__}",
        hint="a list of texts, what the model takes, or an iterable of that",
    )
