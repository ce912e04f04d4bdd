"""Plain functions: parts are what the function's own code names, by `darklantern.part` and `darklantern.tag`."""

from typing import Any

import jax

from darklantern.errors import SiteError
from darklantern.models.on_jax.adapters import Subject, refuse, signature_of


def subject(function: Any, weights: Any, call: Any) -> Subject:
    refuse(call, "call", "hand over the function that is to be called")
    if not callable(function) or isinstance(function, type):
        raise SiteError(
            f"expected a model, got {type(function).__name__}",
            hint="a torch module, a Flax, Equinox or Haiku model, or a JAX function",
        )
    given = weights is not None
    if given and not jax.tree.leaves(weights):
        raise SiteError("weights= holds no arrays", hint="leave it out where the function has its weights itself")

    def run(weights: Any, *args: Any, **kwargs: Any) -> Any:
        return function(weights, *args, **kwargs) if given else function(*args, **kwargs)

    return Subject(
        function,
        weights if given else (),
        run,
        lambda weights: weights,
        signature_of(function, without=int(given)),
        ("function", function),
        dict,
    )
