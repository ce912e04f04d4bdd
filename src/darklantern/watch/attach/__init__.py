"""Adapters to training loops: one file for each framework, each the same interface `Tap`.

In: what a user hands to `darklantern.watch`. Out: a Tap. Only the adapter of the model's own framework is loaded.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from darklantern.errors import WatchError
from darklantern.watch.attach.tap import Tap
from darklantern.watch.examples import Reader

if TYPE_CHECKING:
    from darklantern.watch.watching import Watch


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

    made = torch_loop.tap(model, state, readout, call, batch)
    if empty := [name for name, each in made.model.module.named_parameters() if each.is_meta]:
        raise WatchError(
            f"expected a model with its numbers, got {len(empty)} parameters on the meta device, such as {empty[0]}",
            hint="model.to_empty(device=...) and load its weights, make the optimizer, and only then the watch",
        )
    return made


def on(watch: "Watch", held: Tap, trainer: Any) -> None:
    """Put `watch`, whose tap is `held`, in front of what `trainer` does. Raises WatchError for what is no trainer."""
    rooms = {kind.__module__.partition(".")[0] for kind in type(trainer).__mro__}
    if not rooms & {"transformers", "lightning", "pytorch_lightning"}:
        raise WatchError(
            f"expected a Trainer of transformers or Lightning, got {type(trainer).__name__}",
            hint="for batch in watch.over(loader): ..., or watch.before(batch) and watch.after() in a loop of your own",
        )
    if not is_torch(getattr(getattr(held, "model", None), "module", None)):
        raise WatchError(f"a {type(trainer).__name__} trains torch modules", hint="darklantern.watch(its model, ...)")
    if "transformers" in rooms:
        from darklantern.watch.attach import transformers_trainer

        return transformers_trainer.attach(watch, held, trainer)  # type: ignore[arg-type]  # a torch one, as was seen
    from darklantern.watch.attach import lightning_trainer

    return lightning_trainer.attach(watch, held, trainer)  # type: ignore[arg-type]


def is_torch(model: Any) -> bool:
    """Whether a model is torch's, or what `darklantern.open` made of one."""
    opened = sys.modules.get("darklantern.models.on_torch.opened")
    if opened is not None and isinstance(model, opened.Model):
        return True  # not what `torch_loop` takes, as it says itself
    return any(kind.__module__.partition(".")[0] == "torch" for kind in type(model).__mro__)
