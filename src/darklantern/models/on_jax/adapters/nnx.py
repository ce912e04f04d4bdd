"""Flax nnx: paths by attributes; the modules that a trace merges are given a subclass that marks its calls.

They are made for the trace alone: the user's own module is split, and never touched. What a call changes in it, batch
statistics and counts of random streams, stays in the trace: a run changes nothing.
"""

import functools
from typing import Any

import jax
from flax import nnx

from darklantern.errors import SiteError
from darklantern.models.on_jax.adapters import METHODS, Subject, refuse, signature_of
from darklantern.models.on_jax.adapters.living import Living
from darklantern.models.on_jax.adapters.subclassing import PATH, marking_methods
from darklantern.models.sameness import hashed


def fits(model: Any) -> bool:
    return isinstance(model, nnx.Module)


def refuse_state(weights: Any) -> None:
    """Raises SiteError for a state: the module that a function makes of it is not known by any name."""
    if isinstance(weights, nnx.State):
        raise SiteError(
            "expected an nnx module, or a tree of arrays, as weights, got a State of one, which has no parts",
            hint="darklantern.open(module, call=lambda module, x: ...); model.with_weights(state) goes on with others",
        )


def subject(module: nnx.Module, weights: Any, call: Any) -> Subject:
    refuse(weights, "weights", "an nnx module holds its own; nnx.update(module, state) gives it others")
    graph, state = nnx.split(module)
    living = Living(module, state)
    flat = jax.tree.flatten(state)

    def run(weights: Any, *args: Any, **kwargs: Any) -> Any:
        merged = nnx.merge(graph, weights)
        for path, each in list(nnx.iter_modules(merged)):
            if path and any(callable(getattr(each, name, None)) for name in ("__call__", *METHODS)):
                setattr(each, PATH, tuple(map(str, path)))
                each.__class__ = _marking(type(each))
        return (_call if call is None else call)(merged, *args, **kwargs)

    return Subject(
        module,
        living.flat if living.is_read else lambda: flat,
        run,
        lambda weights: nnx.filter_state(weights, nnx.Param),
        signature_of(call, without=1) if call else signature_of(type(module).__call__, without=1),
        ("nnx", hashed(graph), living.key, call),
        (nnx.Module,),
        living.unchanged,
    )


def _call(model: Any, *args: Any, **kwargs: Any) -> Any:
    return model(*args, **kwargs)


@functools.cache
def _marking(kind: type) -> type:
    """`kind` with calls that are marked: isinstance and attributes stay what they were."""
    about = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind)(kind.__name__, (kind,), {**marking_methods(kind, (nnx.Module,)), **about})
