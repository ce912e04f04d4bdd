"""Reach inside a model: sites, recordings, edits, partial runs, training-state snapshots.

In: a torch `nn.Module`. Out: values at named sites, and outputs under edits. This room never
changes a model for good: each hook it sets is gone when the call returns.

The torch engine loads only when `open` is called; `sites` is plain text handling.
"""

from typing import TYPE_CHECKING, Any

from darklantern.errors import MissingExtraError
from darklantern.models.sites import Site, nearest, parse, select_paths

if TYPE_CHECKING:
    from darklantern.models.engine import Model

__all__ = ["Site", "nearest", "open", "parse", "select_paths"]


def open(module: Any) -> "Model":
    """Open `module` to look inside. Its behaviour does not change: hooks exist only during a call.

    Raises MissingExtraError without torch, SiteError for a compiled module.
    """
    try:
        from darklantern.models.engine import Model
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError(
            "opening a model needs PyTorch, which is not installed",
            hint='pip install "darklantern[torch]" (JAX models come with a later version)',
        ) from error
    return Model(module)
