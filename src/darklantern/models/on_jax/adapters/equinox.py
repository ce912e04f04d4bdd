"""Equinox: paths by fields; the modules of a trace are given a subclass with the same fields that marks its calls.

A module is a tree of arrays, so it has to keep its leaves and their order: wrapping would not (tied weights reach into
modules), a subclass does.
"""

import dataclasses
import functools
import operator
from typing import Any

import equinox as eqx
import jax

from darklantern.models.on_jax.adapters import Path, Subject, refuse, refuse_wrapped, signature_of
from darklantern.models.on_jax.adapters.subclassing import PATH, marking_methods
from darklantern.models.sameness import Itself, hashed, sameness


def fits(model: Any) -> bool:
    return isinstance(model, eqx.Module)


def subject(module: Any, weights: Any, call: Any) -> Subject:
    if fits(getattr(module, "__wrapped__", None)):
        refuse_wrapped(module.__wrapped__)
    refuse(weights, "weights", "an Equinox module holds its own; eqx.tree_at(...) makes one with others")
    arrays, rest = eqx.partition(module, eqx.is_array)

    def run(weights: Any, *args: Any, **kwargs: Any) -> Any:
        model = _marked(eqx.combine(weights, rest), ())
        try:
            return (call or _call)(model, *args, **kwargs)
        except Exception as error:
            if call is None:
                error.add_note("a model of one example is opened with call=lambda model, x: jax.vmap(model)(x)")
            raise

    leaves, tree = jax.tree.flatten(module)
    structure: Any = tree
    flat = jax.tree.flatten(arrays)

    def unchanged() -> bool:
        """A list among its fields may have another module in it now."""
        now, how = jax.tree.flatten(module)
        return len(now) == len(leaves) and all(map(operator.is_, now, leaves)) and bool(structure == how)

    return Subject(
        module,
        lambda: flat,
        run,
        lambda weights: eqx.filter(weights, eqx.is_inexact_array),
        signature_of(call, without=1) if call else signature_of(type(module).__call__, without=1),
        ("equinox", hashed(jax.tree.structure(rest)), sameness(jax.tree.leaves(rest), Itself), call),
        (eqx.Module,),
        unchanged,
    )


def _call(model: Any, *args: Any, **kwargs: Any) -> Any:
    return model(*args, **kwargs)


def _children(module: Any) -> dict[str, Any]:
    """What can hold modules, by the part of a path that leads there."""
    if isinstance(module, eqx.Module):
        return {f.name: getattr(module, f.name) for f in dataclasses.fields(module) if hasattr(module, f.name)}
    if isinstance(module, dict):
        return {str(key): value for key, value in module.items()}
    return dict(zip(map(str, range(len(module))), module, strict=True)) if type(module) in (list, tuple) else {}


def _marked(module: Any, path: Path) -> Any:
    """A copy of `module` whose parts mark their calls; what has none in it, as it is."""
    children = _children(module)
    made = {name: _marked(child, (*path, name)) for name, child in children.items()}
    same = all(made[name] is child for name, child in children.items())
    if isinstance(module, eqx.Module):
        marks = callable(module) and bool(path)
        if same and not marks:  # a StateIndex, for one, has to stay the very object that it is
            return module
        copy: Any = object.__new__(_marking(type(module)) if marks else type(module))
        for name, value in (made | ({PATH: path} if marks else {})).items():
            object.__setattr__(copy, name, value)
        return copy
    if same:
        return module
    return dict(zip(module, made.values(), strict=True)) if isinstance(module, dict) else type(module)(made.values())


@functools.cache
def _marking(kind: type) -> type:
    """`kind` with calls that are marked: isinstance, attributes and the order of leaves stay what they were."""
    body = {
        **marking_methods(kind, (eqx.Module,)),
        "__annotations__": {PATH: tuple},
        PATH: eqx.field(static=True, default=()),
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
    }
    return type(kind)(kind.__name__, (kind,), body)
