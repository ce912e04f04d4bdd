"""What models take and return: tensors in tuples, lists, mappings and dataclasses."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
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
    return _with_fields(value, change) if _is_dataclass(value) else value


def alike(one: Any, other: Any) -> bool:
    """Whether both hold tensors, and the same ones to the bit."""
    mine, theirs = list(tensors(one)), list(tensors(other))
    return bool(mine) and len(mine) == len(theirs) and all(map(torch.equal, mine, theirs))


def near(one: Any, other: Any) -> bool:
    """Whether both hold the same tensors, up to what a batch of another size rounds differently."""
    mine, theirs = list(tensors(one)), list(tensors(other))
    return len(mine) == len(theirs) and all(map(_near, mine, theirs))


def _near(one: Tensor, other: Tensor) -> bool:
    one, other = one.detach(), other.detach()
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not (one.is_floating_point() or one.is_complex()):
        return torch.equal(one, other)
    # Half of a kind's digits: a model of many layers loses some, and what one example takes from another is far more.
    finite = other[other.isfinite()]
    allowed = torch.finfo(one.dtype).eps ** 0.5 * (float(finite.abs().max()) if finite.numel() else 0.0)
    return torch.allclose(one, other, rtol=0.0, atol=allowed, equal_nan=True)


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
    if _is_dataclass(value):
        return [getattr(value, field.name) for field in fields(value)]
    return []


def _is_dataclass(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _with_fields(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A dataclass with each tensor in it changed; itself where nothing in it is."""
    held = {field.name: getattr(value, field.name) for field in fields(value)}
    new = {name: mapped(part, change) for name, part in held.items()}
    if not any(True for part in held.values() for _ in tensors(part)):
        return value
    made = copy.copy(value)  # not `replace`: fields may be no arguments of __init__, or be changed by it
    for name, part in new.items():
        object.__setattr__(made, name, part)
    return made
