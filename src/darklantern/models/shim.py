"""The few array functions that methods need, for the framework of the arrays they are given."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def tokens(rows: NDArray[np.uint8]) -> torch.Tensor:
    """Byte rows (n, width) as the integer tokens that a model takes."""
    return torch.from_numpy(rows.astype(np.int64))


def log_probs(logits: Any) -> NDArray[np.float64]:
    """Natural logarithms of the softmax over the last axis, as NumPy."""
    out: NDArray[np.float64] = logits.detach().double().log_softmax(-1).cpu().numpy()
    return out
