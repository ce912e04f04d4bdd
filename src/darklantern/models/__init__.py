"""Reach inside a model: sites, recordings, edits, partial runs, training-state snapshots.

In: a torch `nn.Module`, or a JAX model. Out: values at named sites, and outputs under edits. This room never
changes a model for good: each hook it sets is gone when the call returns, or, where a backward pass will compute parts
again, with the graph; what is declared for a compiler stays until it is closed.

No file here knows a framework but `snapshot` and `streams`, which are of torch's training states; all others go through
`shim`, behind which `backends` has a file for each framework. `on_torch` or `on_jax` loads only when a model is opened,
and what draws (`looking`, `picture`, `tables`) only when something is shown.
"""

import sys
from typing import TYPE_CHECKING, Any, overload

from darklantern.errors import MissingExtraError, SiteError
from darklantern.models.paths import nearest, select_paths
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import Site, parse
from darklantern.models.tokens import Batch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from os import PathLike

    from torch import nn

    from darklantern.models.on_jax.opened import Model as JaxModel
    from darklantern.models.on_torch.opened import Model

__all__ = [
    "Batch",
    "Recording",
    "Site",
    "Value",
    "load_recording",
    "nearest",
    "open",
    "parse",
    "part",
    "select_paths",
    "tag",
]


@overload
def open(module: "nn.Module", tokenizer: Any = None, *, compiled: str = "refuse") -> "Model": ...


@overload
def open(
    module: Any,
    tokenizer: Any = None,
    *,
    weights: Any = None,
    call: Any = None,
    example: Any = None,
    custom: str = "refuse",
) -> "JaxModel": ...


def open(
    module: Any,
    tokenizer: Any = None,
    *,
    compiled: str = "refuse",
    weights: Any = None,
    call: Any = None,
    example: Any = None,
    custom: str = "refuse",
) -> Any:
    """Open a model to look inside: a torch module, a Flax, Equinox or Haiku model, or a JAX function.

    Its behaviour does not change: what looks inside exists only during a call. `tokenizer` turns prompts into batches:
    called with a text it returns a mapping with `input_ids`; it has `decode`.

    Of torch: `compiled="eager"` opens what went through torch.compile and runs it uncompiled while you look.

    Of JAX: `weights` are what linen's and Haiku's `init` returned, or a function's first argument; nnx and Equinox
    modules hold theirs. `call` says how an nnx or Equinox module is called, `lambda model, x: jax.vmap(model)(x)` for a
    model of one example, or names a linen module's method. On `example`, inputs or their shapes, the model is traced at
    once, so that its sites are known before the first run. `custom="inline"` also looks inside functions that have
    derivatives of their own, and takes the derivative of what they compute instead.

    Raises MissingExtraError without the framework, SiteError for what cannot be opened.
    """
    ours = {"weights": weights, "call": call, "example": example}
    if not _is_torch(module) and ("jax" in sys.modules or any(each is not None for each in ours.values())):
        return _open_jax(module, tokenizer, compiled, custom, **ours)
    if given := [name for name, each in ours.items() if each is not None]:
        raise SiteError(f"{given[0]}= is for JAX models, got a torch module", hint="a torch module holds its weights")
    try:
        from darklantern.models.on_torch.opened import Model
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError(
            "opening a torch model needs PyTorch, which is not installed",
            hint='pip install "darklantern[torch]"; of a JAX model, import jax first',
        ) from error
    return Model(module, tokenizer, compiled)


def _is_torch(module: Any) -> bool:
    return any(kind.__module__.partition(".")[0] == "torch" for kind in type(module).__mro__)


def _open_jax(module: Any, tokenizer: Any, compiled: str, custom: str, **given: Any) -> Any:
    if compiled != "refuse":
        raise SiteError("compiled= is for torch modules", hint="what is jitted in a JAX model is seen through")
    try:
        from darklantern.models.on_jax.opened import Model
    except ModuleNotFoundError as error:
        if error.name not in ("jax", "jaxlib"):
            raise
        raise MissingExtraError(
            "opening a JAX model needs JAX, which is not installed", hint='pip install "darklantern[jax]"'
        ) from error
    return Model(module, tokenizer, custom=custom, **given)


def part(name: str) -> "AbstractContextManager[None]":
    """The JAX code in this block is a part of the model: see `darklantern.models.on_jax.marks.part`."""
    from darklantern.models.on_jax import marks

    return marks.part(name)


def tag(name: str, value: Any) -> Any:
    """Name a value of your own JAX code as a site: see `darklantern.models.on_jax.marks.tag`."""
    from darklantern.models.on_jax import marks

    return marks.tag(name, value)


def load_recording(folder: "str | PathLike[str]", framework: str | None = None) -> Recording:
    """The recording that `model.record(..., to=folder)` or `recording.save(folder)` wrote there.

    Its arrays are of the framework that wrote them, or of `framework`: torch, jax or numpy. torch's and NumPy's are
    mapped from the files, not read; JAX maps no files, so that all of its arrays are read and copied at once.
    Raises SiteError for a folder that does not hold all of one, MissingExtraError without the framework.
    """
    from darklantern.models import at_rest

    return at_rest.load_recording(folder, framework)
