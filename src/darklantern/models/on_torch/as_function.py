"""A torch module as a function of its parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from darklantern.errors import SiteError
from darklantern.models.as_function import AsFunction
from darklantern.models.calling import arguments
from darklantern.models.on_torch.opened import Model


def as_function(model: Model) -> AsFunction:
    """See `models.as_function`. Parameters that share their memory are one, under the first of their names."""
    module = model.module
    weights = {
        name: each.detach().clone()
        for name, each in module.named_parameters()
        if each.requires_grad and each.is_floating_point()
    }
    if not weights:
        raise SiteError(
            f"{type(module).__name__} has no parameters that require gradients",
            hint="parameter.requires_grad_() for those that training changes",
        )
    if cut := next((name for name, each in weights.items() if type(each) not in (Tensor, nn.Parameter)), None):
        raise SiteError(
            f"{cut} is a {type(weights[cut]).__name__}, a piece of a parameter cut over several ranks",
            hint="gather the model on one rank first",
        )

    def call(weights: dict[str, Tensor], inputs: Any) -> Any:
        args, kwargs = arguments(inputs)
        # Buffers are handed in as copies: what a forward pass writes into them must not reach the module.
        buffers = {name: each.clone() for name, each in module.named_buffers()}
        with _evaluating(module):
            return functional_call(module, {**buffers, **weights}, args, kwargs, tie_weights=True)

    return AsFunction(weights, call)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Every part in evaluation mode, and afterwards in the mode that it was in."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        with torch.enable_grad():
            yield
    finally:
        for part in training:
            part.training = True
