"""Rows of bytes: what a watch trusts, counts and runs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError

Bytes = NDArray[np.uint8]


def byte_rows(value: Any, what: str) -> Bytes:
    """A copy of `value`, an array or tensor of integers from 0 to 255, as rows (n, width). Raises WatchError.

    A token id above 255 is refused, never cut down to the byte that its last eight bits happen to be.
    """
    try:
        rows = np.asarray(
            value.detach().cpu() if hasattr(value, "detach") else value
        )  # tensors without importing torch
    except (TypeError, ValueError):  # a dtype that NumPy lacks, rows of differing width
        rows = np.empty(0)
    if rows.ndim != 2 or rows.dtype.kind not in "ui":
        shape = f" {tuple(value.shape)} of {value.dtype}" if hasattr(value, "shape") and hasattr(value, "dtype") else ""
        raise WatchError(
            f"expected {what}, integers (n, width), got {type(value).__name__}{shape}",
            hint="give an array or a tensor with one row for each example and one byte for each column",
        )
    if rows.size and (rows.min() < 0 or rows.max() > 255):
        wrong = int(rows.min() if rows.min() < 0 else rows.max())
        raise WatchError(
            f"expected {what} of bytes, 0 to 255, got the token {wrong}",
            hint="this version watches language models over bytes only; ids of another vocabulary are not bytes",
        )
    return rows.astype(np.uint8)
