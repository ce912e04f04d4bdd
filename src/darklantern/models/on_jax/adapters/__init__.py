"""What each framework calls the parts of a model. An adapter only names things: it marks where parts begin and end.

In: what a user opens. Out: a Subject, which can be called with its weights as an argument, marks and all. Nothing
of a framework is loaded unless one of its models is opened.
"""

import inspect
import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax

from darklantern.errors import SiteError
from darklantern.models.on_jax.marks import entered, marked

Path = tuple[str, ...]
METHODS = ("attend", "encode", "decode")
"""methods that are parts of their own when they are called: an embedding that unembeds, halves of an autoencoder"""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model as a function of its weights."""

    model: Any
    """what was opened"""
    flat: Callable[[], tuple[list[Any], Any]]
    """() → the leaves of its weights, arrays as they are now, and their tree"""
    call: Callable[..., Any]
    """(weights, *args, **kwargs) → the model's output, with marks for its parts; run while `marking()`"""
    parameters: Callable[[Any], Any]
    """weights → the part of the tree that training changes"""
    signature: inspect.Signature | None
    """of the model's own arguments"""
    key: Hashable
    """what decides what `call` does, besides shapes"""
    whole: tuple[type, ...] = ()
    """types that go in and out of parts and are no values"""
    unchanged: Callable[[], bool] = lambda: True
    """() → whether it is sure that `call` still does what the model does, weights aside: its owner may change it"""

    @property
    def weights(self) -> Any:
        """A tree of arrays."""
        leaves, tree = self.flat()
        return jax.tree.unflatten(tree, leaves)

    def with_weights(self, weights: Any) -> "Subject":
        """The same with other arrays."""
        return replace(self, flat=lambda: jax.tree.flatten(weights))


def subject(model: Any, weights: Any, call: Any) -> Subject:
    """`model` as a function of its weights. Raises SiteError for what cannot be opened."""
    for framework, module, adapter in (
        ("flax", "linen", "linen"),
        ("flax", "nnx", "nnx"),
        ("equinox", "", "equinox"),
        ("haiku", "", "haiku"),
    ):
        if f"{framework}.{module}".rstrip(".") in sys.modules and (found := _adapter(adapter)).fits(model):
            made: Subject = found.subject(model, weights, call)
            return made
    from darklantern.models.on_jax.adapters import functions

    return functions.subject(model, weights, call)


def _adapter(name: str) -> Any:
    import importlib

    return importlib.import_module(f"darklantern.models.on_jax.adapters.{name}")


def called(
    path: Path,
    function: Callable[..., Any],
    signature: inspect.Signature | None,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    whole: tuple[type, ...] = (),
    kind: str = "",
) -> Any:
    """What `function` returns, as the part at `path`: what it takes and what it returns are its `in` and `out`."""
    with entered(path, kind, returns=True):
        names = _names(signature, len(args))
        args = [marked("in", value, member=name, whole=whole) for name, value in zip(names, args, strict=True)]
        first = _first(signature) if not args else None
        kwargs = {
            name: marked("in", value, member="" if name == first else name, whole=whole)
            for name, value in kwargs.items()
        }
        return marked("out", function(*args, **kwargs), whole=whole)


def called_method(
    path: Path,
    kind: type,
    name: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    whole: tuple[type, ...],
) -> Any:
    """`called`, of a method of a module's class; `function` is that method of one module."""
    return called(path, function, signature_of(getattr(kind, name), without=1), args, kwargs, whole, kind.__name__)


def signature_of(function: Any, without: int = 0) -> inspect.Signature | None:
    """The signature of `function` without its first arguments; None where it does not tell."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    return found.replace(parameters=list(found.parameters.values())[without:])


def _names(signature: inspect.Signature | None, count: int) -> list[str]:
    """What positional arguments are called: the first nothing, as it is the one that `in` means."""
    known = [] if signature is None else [p.name for p in signature.parameters.values() if p.kind in _POSITIONAL]
    return ["", *(known[number] if number < len(known) else str(number) for number in range(1, count))][:count]


def _first(signature: inspect.Signature | None) -> str | None:
    return None if signature is None else next(iter(signature.parameters), None)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def refuse(what: Any, name: str, hint: str) -> None:
    """Raises SiteError where something was handed over that this framework has no use for."""
    if what is not None:
        raise SiteError(f"{name}= is not for a model of this kind, got {type(what).__name__}", hint=hint)


def refuse_wrapped(module: Any) -> None:
    """Raises SiteError for a module within a function, or within what `filter_jit` or `vmap` made of it."""
    raise SiteError(
        f"this function holds a module, {type(module).__name__}, whose parts nobody can name from outside",
        hint="open the module, and say how it is called: "
        "darklantern.open(module, call=lambda module, x: jax.vmap(module)(x))",
    )


def check_arrays(weights: Any, hint: str) -> None:
    """Raises SiteError unless `weights` is a tree with arrays in it."""
    leaves = jax.tree.leaves(weights)
    if not any(hasattr(leaf, "shape") and hasattr(leaf, "dtype") for leaf in leaves):
        raise SiteError(f"expected the model's weights, a tree of arrays, got {type(weights).__name__}", hint=hint)
