"""A hash of what a function of one's own does: the same for the same code and values, in any process.

In: a function. Out: a hash, and the names of what no hash can speak for. Covered are its instructions, constants,
defaults and closure; what it names in its own module, functions, classes and values alike, and what those name there;
what a callable object holds. Known by name only is what other modules have: `np.linalg.norm` is itself. Instructions
differ between minor versions of Python, and so does the hash.
"""

import dis
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import partial
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from darklantern.models import shim

_FUNCTIONS = (FunctionType, staticmethod, classmethod, property)
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))


@dataclass(frozen=True)
class CodeHash:
    """What is known of a function."""

    sha256: str
    unknown: tuple[str, ...]
    """what it uses that may be another thing the next time, by name and type: a model, an open file"""


def code_hash(function: Callable[..., Any]) -> CodeHash:
    """The hash of `function`, and what it does not cover. Reads its values; runs none of its code."""
    inner: Any = function
    while isinstance(inner, partial | MethodType):  # these are of another module than what they call
        inner = inner.func if isinstance(inner, partial) else inner.__func__
    walk = _Walk(getattr(inner, "__module__", None) or type(inner).__module__)
    said = walk.of(function, getattr(function, "__name__", type(function).__name__))
    return CodeHash(said.hex(), tuple(dict.fromkeys(walk.unknown)))


@dataclass
class _Walk:
    """Each thing as the hash of its kind and its parts, so that no two things are written alike."""

    module: str
    """what is defined there is followed"""
    unknown: list[str] = field(default_factory=list)
    _open: dict[int, int] = field(default_factory=dict)
    """what is being walked, by id, in order: what names itself is known by its place"""

    def of(self, value: Any, name: str) -> bytes:
        if isinstance(value, _PLAIN):
            return _hash(type(value).__name__, repr(value).encode())
        if id(value) in self._open:
            return _hash("again", str(self._open[id(value)]).encode())
        self._open[id(value)] = len(self._open)
        try:
            return self._parts(value, name)
        finally:
            del self._open[id(value)]

    def _parts(self, value: Any, name: str) -> bytes:
        match value:
            case CodeType():
                return self._code(value, name)
            case FunctionType():
                return self._function(value)
            case staticmethod() | classmethod():
                return _hash(_kind(value), self.of(value.__func__, name))
            case property():
                return _hash("property", *(self.of(each, name) for each in (value.fget, value.fset, value.fdel)))
            case MethodType():
                return _hash("method", self.of(value.__self__, name), self.of(value.__func__, name))
            case partial():
                parts = (value.func, value.args, value.keywords)
                return _hash("partial", *(self.of(part, name) for part in parts))
            case tuple() | list():
                return _hash(_kind(value), *(self.of(each, name) for each in value))
            case set() | frozenset():
                return _hash(_kind(value), *sorted(self.of(each, name) for each in value))
            case Mapping():
                pairs = (_hash("pair", self.of(k, name), self.of(v, f"{name}[{k!r}]")) for k, v in value.items())
                return _hash(_kind(value), *sorted(pairs))
            case np.ndarray() | np.generic():
                return _array(np.asarray(value))
            case np.ufunc() | BuiltinFunctionType() | np.dtype():
                return _hash(_kind(value), repr(getattr(value, "__qualname__", value)).encode())
            case ModuleType():
                return _hash("module", value.__name__.encode())
            case Enum() | PurePath():
                return _hash(_kind(value), str(value).encode())
            case type():
                return self._class(value)
        if shim.is_array(value):
            return _array(np.asarray(shim.numbers(value)))
        return self._object(value, name)

    def _function(self, value: FunctionType) -> bytes:
        if value.__module__ != self.module:
            return _hash("function", f"{value.__module__}.{value.__qualname__}".encode())
        code, held = value.__code__, value.__closure__ or ()
        closed = {name: _cell(cell) for name, cell in zip(code.co_freevars, held, strict=True)}
        named = {name: value.__globals__[name] for name in _globals(code) if name in value.__globals__}
        inner = (
            [self.of(code, value.__name__), self.of(value.__defaults__, value.__name__)]
            + [self.of(value.__kwdefaults__, value.__name__)]
            + [_hash(name, self.of(each, name)) for name, each in sorted((named | closed).items())]
        )
        return _hash("function", *inner)

    def _code(self, code: CodeType, name: str) -> bytes:
        names = repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)).encode()
        return _hash("code", code.co_code, names, *(self.of(each, name) for each in code.co_consts))

    def _class(self, value: type) -> bytes:
        called = f"{value.__module__}.{value.__qualname__}".encode()
        if value.__module__ != self.module:
            return _hash("class", called)
        told = {name: each for name, each in vars(value).items() if isinstance(each, (*_FUNCTIONS, *_PLAIN))}
        parts = [_hash(name, self.of(each, name)) for name, each in sorted(told.items())]
        return _hash("class", called, *parts, *(self.of(base, base.__name__) for base in value.__bases__))

    def _object(self, value: Any, name: str) -> bytes:
        """One of a user's own, by what it holds; any other may hold what nobody sees."""
        kind = type(value)
        if is_dataclass(value):
            held = {each.name: getattr(value, each.name) for each in fields(value)}
        elif kind.__module__ == self.module and hasattr(value, "__dict__"):
            held = vars(value)
        else:
            self.unknown.append(f"{name} ({kind.__name__})")
            return _hash("unknown", f"{kind.__module__}.{kind.__qualname__}".encode())
        return _hash("object", self.of(kind, name), *(_hash(n, self.of(v, n)) for n, v in sorted(held.items())))


def _globals(code: CodeType) -> set[str]:
    """What the code, and any within it, takes from its module: not names of attributes, which `co_names` has too."""
    found = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return found.union(*(_globals(each) for each in code.co_consts if isinstance(each, CodeType)))


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _array(value: Any) -> bytes:
    if value.dtype.hasobject:
        return _hash("array", repr(value.tolist()).encode())
    return _hash("array", repr((value.dtype.str, value.shape)).encode(), np.ascontiguousarray(value).tobytes())


def _kind(value: Any) -> str:
    return type(value).__qualname__


def _hash(kind: str, *parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (kind.encode(), *parts):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
