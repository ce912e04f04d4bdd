"""Whether a Python function still computes what it did: a key of all that it reads, taken anew each time.

Compiled code is found again by what it was compiled from. A function is the same object when what it closes over, a
global that it names or an attribute of its object has changed; then it is another function here. No framework.
"""

import dataclasses
import dis
import functools
import types
from collections.abc import Callable, Hashable, Iterator, Mapping
from hashlib import sha256
from typing import Any

import numpy as np

_PLAIN = (int, bool, str, bytes, types.NoneType, type, types.ModuleType, types.BuiltinFunctionType, np.dtype, np.ufunc)
_READ = (types.FunctionType, types.MethodType, functools.partial)


class Itself:
    """An object as a key: the same as itself alone, for as long as anybody asks."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)


def never(_: Any) -> Hashable:
    """For what cannot be looked into: another key each time."""
    return Itself(object())


def hashed(asked: Any) -> Hashable:
    """Something with a hash of its own as a key; what has none, as what it holds."""
    found: Hashable = asked if _has_hash(asked) else sameness(asked, Itself)
    return found


def sameness(asked: Any, unknown: Callable[[Any], Hashable] = never) -> Hashable:
    """A key of what decides what `asked` computes: equal keys, the same computation.

    Followed are closures, defaults, attributes, containers, and the globals that a function of the same module names.
    Arrays of JAX count by identity, as nobody can change them, others by what they hold. `unknown` gives the key of
    what cannot be looked into: a random generator, an iterator, an object of C code.
    """
    return _Reading(unknown).key(asked)


class _Reading:
    def __init__(self, unknown: Callable[[Any], Hashable]) -> None:
        self.unknown = unknown
        self.met: dict[int, tuple[int, Any]] = {}
        """by id, the objects that were read, each with its number: a circle ends there; held, as ids are used again"""
        self.home: dict[str, Any] | None = None
        """the globals of the first function: of other modules' functions they are nobody's state"""

    def key(self, asked: Any) -> Hashable:
        if isinstance(asked, _PLAIN):
            return type(asked), asked
        if isinstance(asked, float | complex):  # 0.0 and -0.0 are equal, and NaN is not
            return type(asked), repr(asked)
        if id(asked) in self.met:
            return "met", self.met[id(asked)][0]
        self.met[id(asked)] = len(self.met), asked
        if isinstance(asked, _READ):
            return type(asked), *self._of_function(asked)
        if isinstance(asked, Mapping) and type(asked).__module__ in ("builtins", "collections", "types"):
            return type(asked), tuple((self.key(name), self.key(each)) for name, each in asked.items())
        if isinstance(asked, list | tuple):
            return type(asked), tuple(map(self.key, asked))
        if isinstance(asked, set | frozenset):
            return type(asked), frozenset(map(self.key, asked))
        if hasattr(asked, "dtype") and hasattr(asked, "shape"):
            return _of_array(asked)
        return self._of_object(asked)

    def _of_function(self, asked: Any) -> Iterator[Hashable]:
        if isinstance(asked, types.MethodType):
            yield from (self.key(asked.__func__), self.key(asked.__self__))
        elif isinstance(asked, functools.partial):
            yield from (self.key(asked.func), self.key(asked.args), self.key(asked.keywords))
        else:
            self.home = asked.__globals__ if self.home is None else self.home
            yield asked.__code__
            yield self.key(asked.__defaults__)
            yield self.key(asked.__kwdefaults__)
            yield tuple(self._of_cell(cell) for cell in asked.__closure__ or ())
            if asked.__globals__ is self.home:
                names = sorted(names_read(asked.__code__) & asked.__globals__.keys())
                yield tuple((name, self.key(asked.__globals__[name])) for name in names)

    def _of_cell(self, cell: Any) -> Hashable:
        try:
            return self.key(cell.cell_contents)
        except ValueError:  # not filled yet
            return "empty"

    def _of_object(self, asked: Any) -> Hashable:
        kind: Any = type(asked)
        if kind.__module__.partition(".")[0] in ("jax", "jaxlib"):  # meshes, shardings, jitted functions: they stay
            return kind, asked if _has_hash(asked) else Itself(asked)
        slots = [name for each in kind.__mro__ for name in _slots(each)]
        if kind.__basicsize__ > object.__basicsize__ + _WORD * (2 + len(slots)):  # holds more than Python shows
            return self.unknown(asked)
        if dataclasses.is_dataclass(kind):
            names = [each.name for each in dataclasses.fields(kind)]
        elif kind.__eq__ is not object.__eq__ and _has_hash(asked):  # it says itself what it is the same as
            return kind, asked
        else:
            names = [name for name in (*slots, *getattr(asked, "__dict__", {})) if not _is_cached(kind, name)]
        held = tuple((name, self.key(getattr(asked, name))) for name in names if hasattr(asked, name))
        called = kind.__dict__.get("__call__")
        return kind, called and self.key(called), held


_WORD = tuple.__itemsize__
"""a pointer's size; an object may have two besides its slots, its dict and its weak references"""


def _slots(kind: type) -> tuple[str, ...]:
    found = kind.__dict__.get("__slots__", ())
    return tuple(
        name for name in ((found,) if isinstance(found, str) else found) if name not in ("__dict__", "__weakref__")
    )


def _has_hash(asked: Any) -> bool:
    try:
        hash(asked)
    except TypeError:
        return False
    return True


def _is_cached(kind: type, name: str) -> bool:
    """Whether an attribute is computed from the others when somebody first asks."""
    return isinstance(getattr(kind, name, None), functools.cached_property)


@functools.lru_cache(maxsize=4096)
def names_read(code: types.CodeType) -> frozenset[str]:
    """The globals that a function's code reads, and that of functions defined in it."""
    own = (each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    inside = (names_read(each) for each in code.co_consts if isinstance(each, types.CodeType))
    return frozenset(own).union(*inside)


def _of_array(array: Any) -> Hashable:
    if type(array).__module__.partition(".")[0] in ("jax", "jaxlib"):
        return Itself(array)
    held = np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)
    if held.dtype.hasobject:
        return never(array)
    return type(array), held.shape, str(held.dtype), sha256(held.tobytes()).digest()
