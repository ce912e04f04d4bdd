"""A JAX model as a function of its parameters."""

from typing import Any

import jax

from darklantern.errors import SiteError
from darklantern.models.as_function import AsFunction
from darklantern.models.dtypes import has_fractions
from darklantern.models.on_jax.opened import Model


def as_function(model: Model) -> AsFunction:
    """See `models.as_function`."""
    opened, own = model, model._now()
    trained = {id(leaf) for leaf in jax.tree.leaves(own.parameters(own.weights))}
    paths, tree = jax.tree_util.tree_flatten_with_path(own.weights)
    leaves = [leaf for _, leaf in paths]
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths]
    weights = {
        name: leaf for name, leaf in zip(names, leaves, strict=True) if id(leaf) in trained and has_fractions(leaf)
    }
    if not weights:
        raise SiteError(
            f"{type(model.module).__name__} has no parameters that training changes", hint="open it with its weights"
        )

    def call(weights: dict[str, Any], inputs: Any) -> Any:
        held = [weights.get(name, leaf) for name, leaf in zip(names, leaves, strict=True)]
        return opened.with_weights(jax.tree.unflatten(tree, held)).run(inputs)

    return AsFunction(weights, call)
