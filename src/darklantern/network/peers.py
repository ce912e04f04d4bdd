"""Decoding what peers wrote: the same as `records.decode`, and it also survives nesting without end."""

from collections.abc import Callable
from typing import TypeVar

from darklantern.errors import RecordError
from darklantern.records import exact

T = TypeVar("T")


def decode(kind: type[T], data: bytes) -> T:
    """The value in `data`, which must be its exact bytes. Raises RecordError."""
    return shallow(lambda: exact.decode(kind, data))


def shallow(work: Callable[[], T]) -> T:
    """What `work` returns. Raises RecordError where JSON is nested too deep to walk.

    Two hundred thousand brackets fit in one record; a RecursionError from them would stop a whole import.
    """
    try:
        return work()
    except RecursionError as error:
        raise RecordError(
            "expected a record, got brackets nested too deep to read",
            hint="no honest record looks like this; ask its author what it is",
        ) from error
