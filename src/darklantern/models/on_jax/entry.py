"""Inputs with the trace that they belong to: where a run begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from darklantern.errors import SiteError
from darklantern.models.calling import Inputs
from darklantern.models.on_jax.planning import Lengths, Plan, Prepared
from darklantern.models.on_jax.running import Call, Traced
from darklantern.models.on_jax.starting import Start
from darklantern.models.tokens import Batch


@dataclass(frozen=True, eq=False)
class Entry:
    """What goes into runs, from the inputs or from a Start on."""

    inputs: Any
    traced: Traced
    call: Call

    @property
    def tokens(self) -> Sequence[Sequence[str]] | None:
        """Each example's tokens, where they are known."""
        inputs = self.inputs.inputs if isinstance(self.inputs, Start) else self.inputs
        return inputs.tokens if isinstance(inputs, Batch) else None

    @property
    def lengths(self) -> Lengths:
        """How many tokens each example has, where that is known."""
        tokens = self.tokens
        return None if tokens is None else tuple(map(len, tokens))

    def plan(self, plan: Plan) -> Plan:
        """`plan`, from here on."""
        return self.inputs.entered(plan) if isinstance(self.inputs, Start) else plan

    def ready(self, plan: Plan) -> Prepared:
        """`plan`, from here on, with each position and key counted among these examples' tokens."""
        return self.traced.prepared(self.plan(plan), self.lengths)


def refuse_strange(inputs: Any) -> None:
    """Raises SiteError for torch's tensors among the inputs, and for lists of numbers."""
    if isinstance(inputs, list) and inputs and all(isinstance(leaf, int | float) for leaf in jax.tree.leaves(inputs)):
        raise SiteError("expected arrays, got a list of numbers", hint="jnp.asarray(...)")
    if isinstance(inputs, Inputs):
        inputs = inputs.args, dict(inputs.kwargs)
    leaves = jax.tree.leaves(dict(inputs) if isinstance(inputs, Mapping) else inputs)
    if any(type(leaf).__module__.partition(".")[0] == "torch" for leaf in leaves):
        raise SiteError("expected arrays of JAX or NumPy, got torch tensors", hint="jnp.asarray(tensor.numpy())")
