"""What is computed beside a module, and what the module did: whether they agree, and how to go on from both."""

from typing import Any

import torch
from torch import Tensor

_CLOSE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 4e-2, torch.float16: 4e-3}
"""a few roundings of the dtype, in sums whose terms are as large as what they are compared with"""


@torch.no_grad()
def agree(found: Tensor, truth: Tensor, computed_in: torch.dtype | None = None) -> bool:
    """Whether `found` is `truth` up to rounding in its dtype, or a coarser one that it was `computed_in`.

    Number by number, relative to the largest in the number's row (along the last axis) or in its column, whichever is
    smaller: one massive activation in a corner must not make everything else right. False where either holds NaN.
    """
    if found.shape != truth.shape:
        return False
    if not truth.numel():
        return True
    close = max(_CLOSE.get(dtype, 1e-4) for dtype in (truth.dtype, computed_in or truth.dtype))
    sizes = truth.abs().to(_wide(truth))
    if truth.ndim > 1:
        columns = sizes.flatten(0, -2).amax(0)
        sizes = torch.minimum(sizes.amax(-1, keepdim=True), columns)
    else:
        sizes = sizes.max()
    return within(found, truth, close * sizes)


@torch.no_grad()
def within(found: Tensor, truth: Tensor, bound: Tensor) -> bool:
    """Whether each number of `found` is as close to that of `truth` as `bound` says. False where either holds NaN.

    Where numbers run out, near zero, so do relative bounds: the least steps of the dtypes are allowed on top.
    """
    if found.shape != truth.shape:
        return False
    least = max(torch.finfo(dtype).tiny * torch.finfo(dtype).eps for dtype in (found.dtype, truth.dtype))
    apart = (found.to(_wide(found)) - truth.to(_wide(truth))).abs()
    return bool((apart <= bound + (4 * least + torch.finfo(torch.float32).tiny)).all())


def rounding(*dtypes: torch.dtype) -> float:
    """The distance from 1 to the next number in the coarsest of these: relatively, what one operation is off by."""
    return max(torch.finfo(dtype).eps for dtype in dtypes if dtype.is_floating_point)


def dot_rounding(dtype: torch.dtype, device: torch.device) -> float:
    """As `rounding`, of one product in a matrix product: numbers shorter than float32 are added up as such."""
    if dtype == torch.float32 and device.type == "cuda" and torch.get_float32_matmul_precision() != "highest":
        return 2.0**-10  # TensorFloat-32
    return torch.finfo(torch.promote_types(dtype, torch.float32)).eps


def _wide(value: Tensor) -> torch.dtype:
    return torch.promote_types(value.dtype, torch.float32)


def grafted(made: Tensor, output: Tensor, same: Tensor | bool = True) -> Tensor:
    """`made`, with the bits of `output` wherever they are the `same` but for rounding, in the dtype of `output`.

    The gradient is that of `made` everywhere, forwards and backwards.
    """
    if made.shape != output.shape:
        raise ValueError(f"made {tuple(made.shape)} beside an output of {tuple(output.shape)}")
    same = same if isinstance(same, bool) else same.to(output.device)
    function: Any = _Grafted  # whose apply torch declares without types
    grafted: Tensor = function.apply(made.to(output.dtype), output.detach(), same)
    return grafted


@torch.no_grad()
def unchanged(new: Tensor, old: Tensor) -> Tensor:
    """Where an edit left a value as it was. A NaN is like itself: output and pre may both be infinite."""
    return (new == old) | (new.isnan() & old.isnan())


class _Grafted(torch.autograd.Function):
    """Values of one tensor, gradients of another, with no arithmetic between.

    `output + (made - made)` would turn -0.0 into 0.0 and infinity into NaN.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(made: Tensor, output: Tensor, same: Tensor | bool) -> Tensor:
        # A copy and no view: the model may write into what it is given, which views of such a function forbid.
        return output.clone() if same is True else torch.where(torch.as_tensor(same), output, made)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Nothing is kept: what checkpointing computes again need not match."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient, None, None

    @staticmethod
    def jvp(ctx: Any, made: Tensor | None, *_: Any) -> Tensor | None:
        return made
