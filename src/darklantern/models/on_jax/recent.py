"""The trace of the last run, found again without its key: a run like the last one asks no array for its type.

Asking two hundred arrays takes as long as JAX takes to dispatch the model, and the key of an nnx model ten times as
long. No weight is kept alive here. See docs/decisions/0008.
"""

import weakref
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from darklantern.models.on_jax.adapters import Subject
from darklantern.models.on_jax.internals import Tracer
from darklantern.models.on_jax.running import Traced


@dataclass(frozen=True, eq=False)
class Recent:
    """What a trace was found for."""

    own: Subject
    leaves: Sequence[Any]
    """weak references"""
    kinds: Sequence[Any]
    """their types, as far as JAX tells them apart"""
    tree: Any
    rest: Hashable
    """of the inputs and the settings"""
    traced: Traced

    @classmethod
    def of(cls, own: Subject, leaves: Sequence[Any], tree: Any, rest: Hashable, traced: Traced) -> "Recent | None":
        """None where nothing may be kept: weights of a function that is being traced."""
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return None
        kinds = [jax.typeof(leaf) for leaf in leaves]
        return cls(own, list(map(weakref.ref, leaves)), kinds, tree, rest, traced)

    def fits(self, own: Subject, leaves: Sequence[Any], tree: Any, rest: Hashable) -> bool:
        """Whether a run has weights of the same types, and inputs of the same shapes, under the same settings."""
        if own is not self.own or len(leaves) != len(self.leaves) or tree != self.tree or rest != self.rest:
            return False
        return all(held() is leaf for held, leaf in zip(self.leaves, leaves, strict=True)) or all(
            jax.typeof(leaf) == kind for leaf, kind in zip(leaves, self.kinds, strict=True)
        )
