"""What is computed beside a module, and what the module did: whether they agree, and how to go on from both."""

from typing import Any

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


@torch.no_grad()
def within(found: Tensor, truth: Tensor, bound: Tensor) -> bool:
    """Whether each number of `found` is as close to that of `truth` as `bound` says. False where either holds NaN."""
    if found.shape != truth.shape:
        return False
    return bool(((found.to(_wide(found)) - truth.to(_wide(truth))).abs() <= bound).all())


def rounding(*dtypes: torch.dtype) -> float:
    """The distance from 1 to the next number in the coarsest of these: relatively, what one operation is off by."""
    return max(torch.finfo(dtype).eps for dtype in dtypes if dtype.is_floating_point)


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
