"""The logits in what a model returned, whatever its framework, and what a watch asks of them.

`kind` is the framework's class of arrays.
"""

from collections.abc import Mapping
from typing import Any

from darklantern.errors import WatchError
from darklantern.models.dtypes import has_fractions
from darklantern.watch.rows import Bytes


def found(output: Any, rows: Bytes, kind: Any) -> Any:
    """The logits: the array itself, its `logits`, or the one of their shape in a tuple. Raises WatchError."""
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if named is not None:
        return named
    if not isinstance(output, tuple | list):
        return output
    several = [part for part in output if _fits(part, rows, kind)]
    if len(several) != 1:
        raise WatchError(
            f"the model returns {len(output)} values, of which {len(several)} could be logits",
            hint="return the logits, or an object that names them `logits`",
        )
    return several[0]


def checked(whose: str, logits: Any, rows: Bytes, kind: Any) -> Any:
    """`logits`, if they say something at every position about every byte of `rows`. Raises WatchError."""
    if not _fits(logits, rows, kind) or rows.max() >= logits.shape[2]:
        shape = f"{tuple(logits.shape)} of {logits.dtype}" if isinstance(logits, kind) else type(logits).__name__
        raise WatchError(
            f"expected {whose} to give logits ({len(rows)}, {rows.shape[1] - 1}, more than {rows.max()}), got {shape}",
            hint="the watch needs logits at every position, for every byte that its rows hold",
        )
    return logits


def check_batched(site: str, array: Any, rows: Bytes) -> None:
    """Raises WatchError for a value whose first axis is not the batch."""
    if not array.shape or len(array) != len(rows):
        raise WatchError(
            f"site {site} carries {len(array) if array.shape else 'no'} examples, the watch ran {len(rows)}",
            hint="watch a site whose first axis is the batch",
        )


def _fits(value: Any, rows: Bytes, kind: Any) -> bool:
    shape = (len(rows), rows.shape[1] - 1)
    return isinstance(value, kind) and value.ndim == 3 and tuple(value.shape[:2]) == shape and has_fractions(value)
