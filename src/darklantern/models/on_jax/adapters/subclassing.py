"""Marks for the calls of modules that nobody intercepts: a subclass of the module's own class, for the trace alone."""

import functools
from typing import Any

from darklantern.models.on_jax.adapters import METHODS, called_method
from darklantern.models.on_jax.marks import is_marking

PATH = "_darklantern_path"
"""the attribute that says which part a module is"""


def marking_methods(kind: type, whole: tuple[type, ...]) -> dict[str, Any]:
    """The methods of `kind` that are parts when they are called, as ones that mark."""
    names = [name for name in ("__call__", *METHODS) if callable(getattr(kind, name, None))]
    return {name: _method(kind, name, whole) for name in names}


def _method(kind: type, name: str, whole: tuple[type, ...]) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        function = functools.partial(getattr(kind, name), self)  # as it is now: reloading a module replaces methods
        path = getattr(self, PATH, None)
        if path is None or not is_marking():
            return function(*args, **kwargs)
        own = path if name == "__call__" else (*path, name)
        return called_method(own, kind, name, function, args, kwargs, whole)

    method.__name__ = name
    return method
