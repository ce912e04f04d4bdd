"""What models take and return: tensors in tuples, lists, mappings and dataclasses."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in `value`, in order."""
    if isinstance(value, Tensor):
        yield value
    else:
        for part in _parts(value):
            yield from tensors(part)


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`value` with each tensor changed; objects of other kinds are handed on as they are."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return type(value)({key: mapped(part, change) for key, part in value.items()})  # type: ignore[call-arg]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(part, change) for part in value))
    if isinstance(value, tuple | list):
        return type(value)(mapped(part, change) for part in value)
    return value


def shares(value: Any, count: int) -> list[Any]:
    """`value`, a batch of `count` copies of one batch, as its `count` shares."""
    return [mapped(value, lambda tensor, i=i: tensor.chunk(count)[i]) for i in range(count)]  # type: ignore[misc]


def whole(value: Tensor) -> Tensor:
    """All of `value`, where it is cut over several ranks (a DTensor); else as it is."""
    gather = getattr(value, "full_tensor", None)
    return value if gather is None else gather()


def strangers(value: Any) -> Iterator[Any]:
    """Objects in `value` that may hold state of their own, as a key-value cache does."""
    if value is None or isinstance(value, Tensor | str | bytes | int | float | bool | complex):
        return
    parts = list(_parts(value))
    if parts or isinstance(value, tuple | list | Mapping):
        for part in parts:
            yield from strangers(part)
    elif type(value).__module__.partition(".")[0] not in ("torch", "builtins"):
        yield value


def _parts(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, tuple | list):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in fields(value)]
    return []
