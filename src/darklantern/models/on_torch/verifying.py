"""When two computations of one value agree: what is computed beside a module is compared with what the module did."""

import torch
from torch import Tensor

_CLOSE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 4e-2, torch.float16: 4e-3}
"""a few roundings of the dtype, relative to the largest entry; a wrong formula is off by far more"""


@torch.no_grad()
def agree(found: Tensor, truth: Tensor) -> bool:
    """Whether `found` is `truth` up to rounding. False where either holds NaN."""
    if found.shape != truth.shape:
        return False
    if not truth.numel():
        return True
    largest = float(truth.abs().max())
    return bool((found - truth).abs().max() <= _CLOSE.get(truth.dtype, 1e-4) * max(largest, 1e-30))
