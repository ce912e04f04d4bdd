"""Whether an nnx module is still what it was: asked of its attributes one by one, by identity.

To split a module takes longer than to run a small one, and an opened model asks before each run, since its owner may
train it in between or put it into another mode. See docs/decisions/0008.
"""

import operator
from types import BuiltinFunctionType, FunctionType, NoneType
from typing import Any

import jax
import numpy as np
from flax import nnx

from darklantern.models.on_jax.internals import Tracer

_FIXED = (int, float, complex, str, bytes, NoneType, type, np.dtype, np.generic, FunctionType, BuiltinFunctionType)
_OWN = "_pytree__"
"""attributes that nnx keeps for itself"""


class Unchanged:
    """A module at one moment."""

    def __init__(self, module: nnx.Module) -> None:
        self._attributes: list[tuple[dict[str, Any], tuple[str, ...], tuple[Any, ...]]] = []
        self._variables: list[tuple[nnx.Variable[Any], Any, dict[str, Any]]] = []
        self._told = self._visit(module, set())

    def holds(self) -> bool:
        """Whether it is sure that nothing has changed since. What can change unseen is never sure."""
        return (
            self._told
            and all(
                len(now) == len(names) and all(map(operator.is_, now.values(), values)) and tuple(now) == names
                for now, names, values in self._attributes
            )
            and all(
                each.get_raw_value() is value and each.get_metadata() == metadata
                for each, value, metadata in self._variables
            )
        )

    def _visit(self, node: Any, met: set[int]) -> bool:
        if id(node) in met:
            return True
        met.add(id(node))
        if isinstance(node, nnx.Variable):
            value = node.get_raw_value()
            self._variables.append((node, value, dict(node.get_metadata())))
            return isinstance(value, jax.Array) and not isinstance(value, Tracer)
        if isinstance(node, nnx.Pytree):
            held = vars(node)
            self._attributes.append((held, tuple(held), tuple(held.values())))
            return all(self._visit(value, met) for name, value in held.items() if not name.startswith(_OWN))
        if isinstance(node, tuple):
            return all(self._visit(each, met) for each in node)
        return isinstance(node, _FIXED) or _of_jax(node)


def _of_jax(node: Any) -> bool:
    """A function that JAX made of one: `jax.nn.relu`, what `jax.jit` returns."""
    return callable(node) and type(node).__module__.partition(".")[0] in ("jax", "jaxlib")
