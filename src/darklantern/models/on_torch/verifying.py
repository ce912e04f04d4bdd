"""What is computed beside a module, and what the module did: whether they agree, and how to go on from both."""

import torch
from torch import Tensor

_CLOSE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 4e-2, torch.float16: 4e-3}
"""a few roundings of the dtype, relative to the largest entry; a wrong formula is off by far more"""


@torch.no_grad()
def agree(found: Tensor, truth: Tensor, computed_in: torch.dtype | None = None) -> bool:
    """Whether `found` is `truth` up to rounding in its dtype, or a coarser one that it was `computed_in`.

    False where either holds NaN.
    """
    if found.shape != truth.shape:
        return False
    if not truth.numel():
        return True
    largest = float(truth.abs().max())
    close = max(_CLOSE.get(dtype, 1e-4) for dtype in (truth.dtype, computed_in or truth.dtype))
    return bool((found - truth).abs().max() <= close * max(largest, 1e-30))


def grafted(made: Tensor, output: Tensor, same: Tensor | bool = True) -> Tensor:
    """`made`, with the bits of `output` wherever they are the `same` but for rounding.

    The gradient is that of `made` everywhere: what is added to the bits there is exactly zero.
    """
    kept = output.detach() + (made - made.detach())
    return kept if same is True else torch.where(torch.as_tensor(same, device=made.device), kept, made)
