"""Haiku: paths by `hk.intercept_methods`; weights are the parameters that `init` returned, or (parameters, state)."""

import inspect
from contextlib import AbstractContextManager
from typing import Any

import haiku as hk
import jax

from darklantern.errors import SiteError
from darklantern.models.on_jax.adapters import METHODS, Path, Subject, called_method, check_arrays, refuse

_HINT = "darklantern.open(transformed, weights=parameters), or weights=(parameters, state) with state"


def fits(model: Any) -> bool:
    return isinstance(model, hk.Transformed | hk.TransformedWithState)


def subject(model: Any, weights: Any, call: Any) -> Subject:
    refuse(call, "call", "what to call is what was transformed: hk.transform(function)")
    stateful = isinstance(model, hk.TransformedWithState)
    if weights is None:
        raise SiteError("expected weights for a Haiku model, got none", hint=_HINT)
    if stateful and not (isinstance(weights, tuple) and len(weights) == 2):
        raise SiteError("expected weights=(parameters, state): this model was transformed with state", hint=_HINT)
    check_arrays(weights, _HINT)
    takes_rng = "rng" in inspect.signature(model.apply).parameters

    def run(weights: Any, *args: Any, rng: Any = None, **kwargs: Any) -> Any:
        held = weights if stateful else (weights,)
        with intercepted():
            return model.apply(*held, *((rng,) if takes_rng else ()), *args, **kwargs)

    return Subject(
        model,
        lambda: jax.tree.flatten(weights),
        run,
        lambda weights: weights[0] if stateful else weights,
        None,
        ("haiku", model),
        (hk.Module,),
    )


def intercepted() -> AbstractContextManager[None]:
    """Modules that run here mark their calls."""
    context: AbstractContextManager[None] = hk.intercept_methods(_marked)
    return context


def _marked(function: Any, args: Any, kwargs: Any, context: Any) -> Any:
    name = context.method_name
    if name != "__call__" and name not in METHODS:
        return function(*args, **kwargs)
    path: Path = tuple(part for part in context.module.module_name.split("/") if part != "~")
    if not path or path[-1].startswith("__"):  # Haiku's own, around a scanned stack
        return function(*args, **kwargs)
    path = path if name == "__call__" else (*path, name)
    return called_method(path, type(context.module), name, function, args, kwargs, (hk.Module,))
