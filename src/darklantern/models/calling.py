"""How a model is called with what a user hands over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Inputs:
    """Arguments for a model that takes several: `Inputs((tokens,), {"mask": mask})`."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A mapping is keyword arguments, a tuple positional ones, Inputs both; anything else is the one argument."""
    if isinstance(inputs, Inputs):
        return inputs.args, dict(inputs.kwargs)
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, tuple):
        return inputs, {}
    return (inputs,), {}


def call(module: Callable[..., Any], inputs: Any) -> Any:
    """What `module`, or a method of it, returns for `inputs`."""
    if not isinstance(inputs, Inputs | Mapping | tuple):
        return module(inputs)
    args, kwargs = arguments(inputs)
    return module(*args, **kwargs)
