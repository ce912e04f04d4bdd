"""Reach inside a model: sites, recordings, edits, partial runs, training-state snapshots.

In: a torch `nn.Module`. Out: values at named sites, and outputs under edits. This room never
changes a model for good: each hook it sets is gone when the call returns, or, where a backward pass will compute parts
again, with the graph; what is declared for a compiler stays until it is closed.

No file here knows a framework but `snapshot` and `streams`, which are of torch's training states; all others go through
`shim`, behind which `backends` has a file for each framework. `on_torch` loads only when a model is opened, and what
draws (`looking`, `picture`, `tables`) only when something is shown.
"""

from typing import TYPE_CHECKING, Any

from darklantern.errors import MissingExtraError
from darklantern.models.paths import nearest, select_paths
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import Site, parse
from darklantern.models.tokens import Batch

if TYPE_CHECKING:
    from os import PathLike

    from darklantern.models.on_torch.opened import Model

__all__ = ["Batch", "Recording", "Site", "Value", "load_recording", "nearest", "open", "parse", "select_paths"]


def open(module: Any, tokenizer: Any = None, *, compiled: str = "refuse") -> "Model":
    """Open `module` to look inside. Its behaviour does not change: hooks exist only during a call.

    `tokenizer` turns prompts into batches: called with a text it returns a mapping with `input_ids`; it has `decode`.
    `compiled="eager"` opens what went through torch.compile and runs it uncompiled while you look.
    Raises MissingExtraError without torch, SiteError for what cannot be opened.
    """
    try:
        from darklantern.models.on_torch.opened import Model
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError(
            "opening a model needs PyTorch, which is not installed",
            hint='pip install "darklantern[torch]" (JAX models come with a later version)',
        ) from error
    return Model(module, tokenizer, compiled)


def load_recording(folder: "str | PathLike[str]", framework: str | None = None) -> Recording:
    """The recording that `model.record(..., to=folder)` or `recording.save(folder)` wrote there.

    Its arrays are of the framework that wrote them, or of `framework`: torch, jax or numpy. torch's and NumPy's are
    mapped from the files, not read; JAX maps no files, so that all of its arrays are read and copied at once.
    Raises SiteError for a folder that does not hold all of one, MissingExtraError without the framework.
    """
    from darklantern.models import at_rest

    return at_rest.load_recording(folder, framework)
