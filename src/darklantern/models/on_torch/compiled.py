"""Compiled models: hooks set after compilation are silently dropped there, so they are refused or run eagerly."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from darklantern.errors import SiteError


def refuse(modules: Mapping[str, nn.Module]) -> None:
    """Raises SiteError for a compiled module among those that lead to a plan's sites, by path."""
    for path, module in modules.items():
        if module._compiled_call_impl is not None or "_orig_mod" in module._modules:
            raise SiteError(
                f"{path or 'this model'} went through torch.compile, which silently ignores hooks that are set later",
                hint='open(model, compiled="eager") runs it uncompiled while you look; model.declare(...) before '
                "compiling keeps a plan in the compiled code",
            )


@contextmanager
def eagerly() -> Iterator[Any]:
    """What was compiled runs uncompiled."""
    with torch.compiler.set_stance("force_eager"):
        yield
