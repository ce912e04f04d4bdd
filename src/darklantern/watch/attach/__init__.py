"""Adapters to training loops: one file for each framework, each the same interface `Tap`.

In: what a user hands to `darklantern.watch`. Out: a Tap. Only the adapter of the model's own framework is loaded.
"""

import sys
from collections.abc import Callable
from typing import Any

from darklantern.errors import WatchError
from darklantern.watch.attach.tap import Tap
from darklantern.watch.examples import Reader


def tap(
    model: Any,
    state: Any,
    readout: Callable[..., Any] | None = None,
    weights: Callable[[Any], Any] | None = None,
    call: Callable[[Any], Any] | None = None,
    batch: Reader | None = None,
) -> Tap:
    """A tap into `model`, of torch or JAX. Raises WatchError for what could not be watched."""
    if not is_torch(model) and "jax" in sys.modules:
        from darklantern.watch.attach import jax_loop

        return jax_loop.tap(model, state, readout, weights, call, batch)
    if weights is not None:
        raise WatchError("weights= is for JAX models, got a torch module", hint="a torch module holds its weights")
    from darklantern.watch.attach import torch_loop

    return torch_loop.tap(model, state, readout, call, batch)


def is_torch(model: Any) -> bool:
    """Whether a model is torch's, or what `darklantern.open` made of one."""
    opened = sys.modules.get("darklantern.models.on_torch.opened")
    if opened is not None and isinstance(model, opened.Model):
        return True  # not what `torch_loop` takes, as it says itself
    return any(kind.__module__.partition(".")[0] == "torch" for kind in type(model).__mro__)
