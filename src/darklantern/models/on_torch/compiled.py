"""Compiled models: hooks set after compilation are silently dropped there, so they are refused or run eagerly."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from darklantern.errors import SiteError


def is_compiled(module: nn.Module) -> bool:
    """Whether calling this module runs code that was compiled before our hooks came."""
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def refuse(modules: Iterable[tuple[str, nn.Module]]) -> None:
    """Raises SiteError for a compiled module among those that lead to a plan's sites."""
    for path, module in modules:
        if is_compiled(module):
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
