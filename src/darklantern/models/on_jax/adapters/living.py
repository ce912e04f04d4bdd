"""An nnx module as its owner trains it: whether it is still the same program, and its weights as they are now.

To split a module takes longer than to run a small one, and an opened model asks before each run, since its owner may
train it in between or put it into another mode. So its attributes are compared one by one, by identity, and its weights
are read from its Variables; none is kept here. See docs/decisions/0008.
"""

import operator
from types import BuiltinFunctionType, NoneType
from typing import Any

import jax
import numpy as np
from flax import nnx

from darklantern.models.on_jax.internals import Tracer
from darklantern.models.sameness import Itself, sameness

_FIXED = (int, float, complex, str, bytes, NoneType, type, np.dtype, np.generic, BuiltinFunctionType)
_OWN = "_pytree__"
"""attributes that nnx keeps for itself"""


class Living:
    """A module, and what it was when it was split into `state`."""

    def __init__(self, module: nnx.Module, state: Any) -> None:
        self._attributes: list[tuple[dict[str, Any], tuple[str, ...], tuple[Any, ...]]] = []
        self._variables: list[tuple[nnx.Variable[Any], dict[str, Any]]] = []
        self._fixed: list[Any] = []
        self._others: list[Any] = []
        """what may change without another taking its place: objects, lists, functions that close over something"""
        self._visit(module, set())
        self._read = sameness(self._others, Itself)
        self.key = sameness(self._fixed, Itself), self._read
        """of what it holds besides Variables: 1 and 1.0 are equal, and compute different things"""
        leaves, self._tree = jax.tree.flatten(state)
        of = {id(each.get_raw_value()): each for each, _ in self._variables}
        self._leaves = [of[id(leaf)] for leaf in leaves if id(leaf) in of]
        self.is_read = len(self._leaves) == len(leaves) and all(_is_read(each) for each, _ in self._variables)
        """whether all of it can be read from its Variables, one array each"""

    def flat(self) -> tuple[list[Any], Any]:
        """The leaves of the state as they are now, and their tree."""
        return [each.get_raw_value() for each in self._leaves], self._tree

    def unchanged(self) -> bool:
        """Whether it is sure that nothing but weights has changed."""
        return (
            self.is_read
            and all(
                len(now) == len(names) and all(map(operator.is_, now.values(), values)) and tuple(now) == names
                for now, names, values in self._attributes
            )
            and all(_is_read(each) and each.get_metadata() == metadata for each, metadata in self._variables)
            and (not self._others or sameness(self._others, Itself) == self._read)
        )

    def _visit(self, node: Any, met: set[int]) -> None:
        if id(node) in met:
            return
        met.add(id(node))
        if isinstance(node, nnx.Variable):
            self._variables.append((node, dict(node.get_metadata())))
        elif isinstance(node, nnx.Pytree):
            held = vars(node)
            self._attributes.append((held, tuple(held), tuple(held.values())))
            for name, value in sorted(held.items()):  # a merged module has them in another order
                if not name.startswith(_OWN):
                    self._visit(value, met)
        elif isinstance(node, tuple):
            for each in node:
                self._visit(each, met)
        elif isinstance(node, _FIXED) or _of_jax(node):
            self._fixed.append(node)
        else:
            self._others.append(node)


def _is_read(variable: nnx.Variable[Any]) -> bool:
    value = variable.get_raw_value()
    return isinstance(value, jax.Array) and not isinstance(value, Tracer)


def _of_jax(node: Any) -> bool:
    """A function that JAX made of one: `jax.nn.relu`, what `jax.jit` returns."""
    return callable(node) and type(node).__module__.partition(".")[0] in ("jax", "jaxlib")
