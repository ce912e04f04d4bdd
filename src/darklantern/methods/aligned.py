"""Inputs that belong together: one batch or many, of a clean and of a corrupt kind."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

from darklantern.errors import MethodError
from darklantern.models.opened import Model
from darklantern.models.shim import is_array


def aligned(model: Model, clean: Any, corrupt: Any) -> tuple[Any, Any]:
    """Prompts as batches that correspond; other inputs as they are."""
    if not (is_text(clean) and is_text(corrupt)):
        return clean, corrupt
    return model.batch(clean), model.batch(corrupt, align=clean)


def is_text(inputs: Any) -> bool:
    """Whether these are prompts."""
    return isinstance(inputs, str) or (isinstance(inputs, list) and all(isinstance(each, str) for each in inputs))


def is_stream(inputs: Any) -> bool:
    """Whether these are batches one after the other: an iterator, a loader, or a list of batches that have names."""
    if is_array(inputs) or isinstance(inputs, str | Mapping) or not isinstance(inputs, Iterable):
        return False
    if isinstance(inputs, list | tuple):
        return bool(inputs) and all(isinstance(each, Mapping) for each in inputs)
    return True


def pairs(model: Model, clean: Any, corrupt: Any) -> Iterator[tuple[Any, Any]]:
    """Batches of both kinds side by side, aligned; None for the corrupt ones where there are none.

    Raises MethodError for streams of which one is longer, and for no batch at all.
    """
    if not is_stream(clean):
        yield one_pair(model, clean, corrupt)
        return
    if corrupt is not None and not is_stream(corrupt):
        raise MethodError(
            f"the clean inputs are a stream of batches, the corrupt ones a {type(corrupt).__name__}",
            hint="a batch of corrupt inputs for each of clean ones",
        )
    end, count = object(), 0
    both = ((each, None) for each in clean) if corrupt is None else zip_longest(clean, corrupt, fillvalue=end)
    for count, (mine, theirs) in enumerate(both, 1):
        if mine is end or theirs is end:
            raise MethodError(
                f"more {'corrupt' if mine is end else 'clean'} batches than the {count - 1} of the other kind",
                hint="a batch of corrupt inputs for each of clean ones",
            )
        yield one_pair(model, mine, theirs)
    if not count:
        raise MethodError("expected at least one batch, got none", hint="an iterator gives its batches only once")


def one_pair(model: Model, clean: Any, corrupt: Any) -> tuple[Any, Any]:
    """One batch of each kind."""
    if corrupt is not None:
        return aligned(model, clean, corrupt)
    return (model.batch(clean) if is_text(clean) else clean), None
