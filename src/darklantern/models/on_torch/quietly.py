"""A module's arithmetic, computed once more beside the run without anybody noticing."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch import hub
from darklantern.models.on_torch.structure import whole


@contextmanager
def quietly(module: nn.Module, device: torch.device, path: str) -> Iterator[nn.Module]:
    """`module`'s arithmetic to call: no hooks fire, neither its own nor its parts', and no random numbers are used up.

    Raises SiteError for a module that draws random numbers: what it made in the run is not what it makes now.
    """
    elsewhere = [] if device.type == "cpu" else [device]
    kind = device.type if elsewhere else "cuda"  # which fork_rng wants to know even for no device
    with hub.paused(), torch.random.fork_rng(elsewhere, device_type=kind):
        before = _random_states(device)
        yield _bare(module)
        drew = any(not torch.equal(*pair) for pair in zip(before, _random_states(device), strict=True))
    if drew:
        raise SiteError(
            f"{path} draws random numbers, so calling it again does not tell what it did in the run",
            hint="call model.eval() first",
        )


def _random_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    if device.type != "cpu":
        module: Any = torch.get_device_module(device)
        states.append(module.get_rng_state(device))
    return states


def _bare(module: nn.Module) -> nn.Module:
    """`module` and its parts on the same tensors, as new objects whose call is their forward and nothing around it.

    New objects, because taking the hooks off the model's own would take them from other threads too.
    """
    kind: Any = type(module)
    made: nn.Module = object.__new__(_without_hooks(kind))
    # Cut over ranks, a weight is put together here, as one of the hooks left out would have seen to.
    weights = {name: each if each is None else whole(each) for name, each in module._parameters.items()}
    parts = {name: each if each is None else _bare(each) for name, each in module._modules.items()}
    made.__dict__.update(module.__dict__, _parameters=weights, _modules=parts)
    return made


@lru_cache(maxsize=64)
def _without_hooks(kind: type[nn.Module]) -> type[nn.Module]:
    return type(kind.__name__, (kind,), {"__call__": _forward, "__module__": kind.__module__})


def _forward(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return module.forward(*args, **kwargs)
