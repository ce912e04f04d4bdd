"""A module in training that somebody looks at, with functions of their own: afterwards it is as it was before.

What an optimizer trains is not among it: weights and gradients that a look changed stay changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from darklantern.models import streams


class _Buffer(NamedTuple):
    owner: nn.Module
    name: str
    held: Tensor
    """the very tensor, which others may hold too"""
    values: Tensor


@contextmanager
def left_alone(module: nn.Module) -> Iterator[None]:
    """Whatever is done within: afterwards the process's random streams, the modes of `module`'s parts, its buffers and
    whether gradients are recorded are as they were.

    A buffer that took another shape stays: it is a table that grew, and what says how far it reaches is no tensor.
    Costs one copy of the buffers, where they lie.
    """
    modes = [(part, part.training) for part in module.modules()]
    gradients = torch.is_grad_enabled()
    buffers = _buffers(module)
    with streams.left_alone():
        try:
            yield
        finally:
            torch.set_grad_enabled(gradients)
            for part, training in modes:
                part.training = training  # not train(): that would also set the parts of a part
            for buffer in buffers:
                _put_back(buffer)


def _buffers(module: nn.Module) -> list[_Buffer]:
    found = {
        (id(part), name): _Buffer(part, name, held, _local(held).detach().clone())
        for part in module.modules()
        for name, held in part._buffers.items()
        if held is not None and _comparable(held)
    }
    return list(found.values())


def _put_back(buffer: _Buffer) -> None:
    now = buffer.owner._buffers.get(buffer.name)
    if now is not buffer.held:
        if now is None or now.shape != buffer.held.shape or now.dtype != buffer.held.dtype:
            return
        buffer.owner._buffers[buffer.name] = buffer.held
    # Not unless it changed: a write would invalidate what a graph that is still to be run backward keeps of it.
    held = _local(buffer.held)
    if not torch.equal(held, buffer.values):
        with torch.no_grad():
            held.copy_(buffer.values)


def _local(value: Tensor) -> Tensor:
    """What this rank holds of it."""
    local = getattr(value, "to_local", None)
    made: Tensor = local() if callable(local) else value
    return made


def _comparable(value: Tensor) -> bool:
    """Whether it is plain numbers in memory, and not a tensor of a class of its own, which need not know how."""
    held = _local(value)
    return type(held) is Tensor and held.layout is torch.strided and not held.is_meta and not held.is_quantized
