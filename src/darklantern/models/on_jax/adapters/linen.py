"""Flax linen: paths by `nn.intercept_methods`; weights are the variables that `init` returned."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import jax
from flax import linen as nn

from darklantern.errors import SiteError
from darklantern.models.on_jax.adapters import METHODS, Path, Subject, called_method, check_arrays, signature_of
from darklantern.models.sameness import Itself, sameness

_HINT = "darklantern.open(module, weights=variables), variables being what module.init(...) returned"


def fits(model: Any) -> bool:
    return isinstance(model, nn.Module)


def subject(module: nn.Module, weights: Any, call: Any) -> Subject:
    if module.scope is not None:
        if weights is not None:
            raise SiteError("a bound module has its weights already", hint="open(module), or open it unbound")
        module, weights = module.unbind()
    if weights is None or not isinstance(weights, Mapping):
        raise SiteError(f"expected weights for a linen module, got {type(weights).__name__}", hint=_HINT)
    check_arrays(weights, _HINT)
    if "params" not in weights and not any(key in weights for key in ("batch_stats", "cache")):
        weights = {"params": weights}
    method = getattr(type(module), call) if isinstance(call, str) else call

    def run(weights: Any, *args: Any, **kwargs: Any) -> Any:
        with intercepted():
            return module.apply(weights, *args, method=method, **kwargs)

    return Subject(
        module,
        lambda: jax.tree.flatten(weights),
        run,
        lambda weights: weights.get("params", {}),
        signature_of(method or type(module).__call__, without=1),
        ("linen", sameness(module, Itself), sameness(method, Itself)),
        (nn.Module,),
    )


def intercepted() -> AbstractContextManager[None]:
    """Modules that run here mark their calls."""
    context: AbstractContextManager[None] = nn.intercept_methods(_marked)
    return context


def _marked(function: Any, args: Any, kwargs: Any, context: Any) -> Any:
    path: Path = tuple(context.module.path)
    name = context.method_name
    if name in METHODS:
        path = (*path, name)
    elif name != "__call__" or not path:
        return function(*args, **kwargs)
    return called_method(path, type(context.module), name, function, args, kwargs, (nn.Module,))
