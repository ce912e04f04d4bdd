"""All record types, found by looking: what a room adds is fuzzed without being listed."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import darklantern
from darklantern.errors import RecordError
from darklantern.records.exact import Value, decode, encode

ROOMS = ("records", "sealing", "network", "library", "stores", "relay")


def _types() -> dict[str, type[Value]]:
    for room in ROOMS:
        package = importlib.import_module(f"{darklantern.__name__}.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return {f"{kind.__module__.split('.', 1)[1]}.{kind.__name__}": kind for kind in _below(Value)}


def _below(kind: type[Value]) -> Iterator[type[Value]]:
    for each in kind.__subclasses__():
        if each.__struct_fields__ and each.__module__.startswith(darklantern.__name__):
            yield each
        yield from _below(each)


TYPES = _types()
"""`room.module.Name` → type; bases without fields are none."""


def read(data: bytes) -> Value:
    """The value in a line with the name of a type and the bytes after it."""
    name, _, rest = data.partition(b"\n")
    kind = TYPES.get(name.decode("ascii", "replace"))
    if kind is None:
        raise RecordError("expected the name of a type first", hint="see TYPES")
    return decode(kind, rest)


def write(value: Value) -> bytes:
    """What `read` reads."""
    kind = type(value)
    return f"{kind.__module__.split('.', 1)[1]}.{kind.__name__}\n".encode() + encode(value)


def within(value: Any) -> Iterator[Value]:
    """`value` and all values that it holds."""
    if isinstance(value, Value):
        yield value
        for name in value.__struct_fields__:
            yield from within(getattr(value, name))
    elif isinstance(value, dict):
        for each in value.values():
            yield from within(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from within(each)
