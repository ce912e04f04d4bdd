"""The trace of the last run, found again by identity: a run like the last one asks no array for its type.

Asking two hundred arrays takes as long as JAX takes to dispatch the model. See docs/decisions/0008.
"""

import operator
from collections.abc import Hashable
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
    leaves: list[Any]
    tree: Any
    given: Hashable
    settings: Hashable
    traced: Traced

    @property
    def flat(self) -> tuple[list[Any], Any]:
        """The leaves and the tree of the weights as they are now. Those of a module that was split stay as they are."""
        return (self.leaves, self.tree) if self.own.alive else jax.tree.flatten(self.own.weights)

    def fits(self, own: Subject, leaves: list[Any], tree: Any, given: Hashable, settings: Hashable) -> bool:
        """Whether a run has the same weights, and inputs of the same shapes, under the same settings."""
        return (
            own is self.own
            and len(leaves) == len(self.leaves)
            and all(map(operator.is_, leaves, self.leaves))
            and tree == self.tree
            and given == self.given
            and settings == self.settings
        )

    @property
    def lasts(self) -> bool:
        """Whether it may be kept: not where it would keep values of a function that is being traced."""
        return not any(isinstance(leaf, Tracer) for leaf in self.leaves)
