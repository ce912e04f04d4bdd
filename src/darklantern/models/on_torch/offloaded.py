"""Weights that accelerate keeps elsewhere between calls: on another device, or on disk."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn


@contextmanager
def at_hand(*modules: nn.Module) -> Iterator[None]:
    """The modules' own weights are in memory. Costs nothing where they are; else as much as a call of the modules."""
    away = [each for each in modules if any(p.device.type == "meta" for p in each.parameters(recurse=False))]
    with ExitStack() as around:
        for module in away:
            if "_hf_hook" in module.__dict__ and "accelerate" in sys.modules:
                from accelerate.utils import align_module_device

                around.enter_context(align_module_device(module))
        yield
