"""Plain functions: parts are what the function's own code names, by `darklantern.part` and `darklantern.tag`.

Modules that it applies inside name themselves: linen's and Haiku's by their interceptors, Equinox's and nnx's if one is
its first argument.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import jax

from darklantern.errors import SiteError
from darklantern.models.on_jax.adapters import Subject, refuse, signature_of
from darklantern.models.sameness import Itself, sameness


def subject(function: Any, weights: Any, call: Any) -> Subject:
    refuse(call, "call", "hand over the function that is to be called")
    if not callable(function) or isinstance(function, type):
        raise SiteError(
            f"expected a model, got {type(function).__name__}",
            hint="a torch module, a Flax, Equinox or Haiku model, or a JAX function",
        )
    if "equinox" in sys.modules:
        from darklantern.models.on_jax.adapters import equinox

        if equinox.fits(weights):
            return equinox.subject(weights, None, function)
    if "flax.nnx" in sys.modules:
        from darklantern.models.on_jax.adapters import nnx

        if nnx.fits(weights):
            return nnx.subject(weights, None, function)
    given = weights is not None
    key = sameness(function, Itself)

    def run(weights: Any, *args: Any, **kwargs: Any) -> Any:
        with _intercepted():
            return function(weights, *args, **kwargs) if given else function(*args, **kwargs)

    return Subject(
        function,
        lambda: jax.tree.flatten(weights if given else ()),
        run,
        lambda weights: weights,
        signature_of(function, without=int(given)),
        ("function", key),
        unchanged=lambda: sameness(function, Itself) == key,
    )


@contextlib.contextmanager
def _intercepted() -> Iterator[None]:
    """Modules of linen and Haiku that run here mark their calls."""
    with contextlib.ExitStack() as stack:
        if "flax.linen" in sys.modules:
            from darklantern.models.on_jax.adapters import linen

            stack.enter_context(linen.intercepted())
        if "haiku" in sys.modules:
            from darklantern.models.on_jax.adapters import haiku

            stack.enter_context(haiku.intercepted())
        yield
