"""Trial runs that leave no trace: what a model counts while it trains, and the random numbers it draws."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def restored(module: nn.Module) -> Iterator[None]:
    """Buffers, such as the statistics of batch norms, and the state of torch's generators as they were, afterwards."""
    held = [(buffer, buffer.detach().clone()) for buffer in module.buffers() if buffer.device.type != "meta"]
    devices = {parameter.device for parameter in module.parameters() if parameter.device.type == "cuda"}
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in held:
                    if not torch.equal(buffer, before):
                        buffer.copy_(before)
