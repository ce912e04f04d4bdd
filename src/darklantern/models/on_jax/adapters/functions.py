"""Plain functions: parts are what the function's own code names, by `darklantern.part` and `darklantern.tag`.

Modules that it applies inside name themselves: linen's and Haiku's by their interceptors, Equinox's and nnx's if one is
its first argument.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import jax

from darklantern.errors import SiteError
from darklantern.models.on_jax.adapters import Subject, refuse, refuse_wrapped, signature_of
from darklantern.models.sameness import Itself, names_read, sameness


def subject(function: Any, weights: Any, call: Any) -> Subject:
    refuse(call, "call", "hand over the function that is to be called")
    if not callable(function) or isinstance(function, type):
        raise SiteError(
            f"expected a model, got {type(function).__name__}",
            hint="a torch module, a Flax, Equinox or Haiku model, or a JAX function",
        )
    if (inside := _module_inside(function)) is not None:
        refuse_wrapped(inside)
    if "equinox" in sys.modules:
        from darklantern.models.on_jax.adapters import equinox

        if equinox.fits(weights):
            return equinox.subject(weights, None, function)
    if "flax.nnx" in sys.modules:
        from darklantern.models.on_jax.adapters import nnx

        if nnx.fits(weights):
            return nnx.subject(weights, None, function)
        nnx.refuse_state(weights)
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


def _module_inside(function: Any, depth: int = 3) -> Any:
    """The first Equinox or nnx module that a function wraps, closes over or finds by a global name, if there is one."""
    closed = [cell.cell_contents for cell in getattr(function, "__closure__", None) or () if _is_filled(cell)]
    if isinstance(function, FunctionType):
        found = names_read(function.__code__) & function.__globals__.keys()
        closed += [each for each in map(function.__globals__.get, sorted(found)) if _is_module(each)]
    wrapped = (getattr(function, name, None) for name in ("__wrapped__", "__self__", "func"))
    for held in (*closed, *wrapped):
        if _is_module(held):
            return held
        if depth and callable(held) and (found := _module_inside(held, depth - 1)) is not None:
            return found
    return None


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _is_module(held: Any) -> bool:
    rooms = [name for name, room in (("equinox", "equinox"), ("nnx", "flax.nnx")) if room in sys.modules]
    adapters = [importlib.import_module(f"darklantern.models.on_jax.adapters.{name}") for name in rooms]
    return not isinstance(held, type) and any(each.fits(held) for each in adapters)


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
