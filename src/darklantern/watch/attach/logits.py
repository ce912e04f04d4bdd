"""The logits in what a model returned, whatever its framework. `kind` is the framework's class of arrays."""

from collections.abc import Mapping
from typing import Any

from darklantern.errors import WatchError
from darklantern.models.dtypes import has_fractions


def found(output: Any, count: int, kind: Any) -> Any:
    """The logits (`count`, …, classes): the array itself, its `logits`, or the one such array in a tuple.

    Raises WatchError where there is none, or none to be told from others.
    """
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if named is not None:
        output = named
    elif isinstance(output, tuple | list):
        several = [part for part in output if _fits(part, count, kind)]
        if len(several) != 1:
            raise WatchError(
                f"the model returns {len(output)} values, of which {len(several)} could be logits",
                hint="return the logits, or an object that names them `logits`",
            )
        output = several[0]
    if not _fits(output, count, kind):
        said = f"{tuple(output.shape)} of {output.dtype}" if isinstance(output, kind) else type(output).__name__
        raise WatchError(
            f"expected the model to give logits ({count}, …, classes), got {said}",
            hint="the watch reads numbers for each example; return them, or an object that names them `logits`",
        )
    return output


def check_batched(site: str, array: Any, count: int) -> None:
    """Raises WatchError for a value whose first axis is not the batch."""
    if not array.shape or len(array) != count:
        raise WatchError(
            f"site {site} carries {len(array) if array.shape else 'no'} examples, the watch ran {count}",
            hint="watch a site whose first axis is the batch",
        )


def _fits(value: Any, count: int, kind: Any) -> bool:
    return isinstance(value, kind) and value.ndim >= 2 and len(value) == count and has_fractions(value)
