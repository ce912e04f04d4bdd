"""The plain formula of attention, for any leading axes: q·k to scores, scores to pattern."""

import math
from typing import Any

import torch
from torch import Tensor


def scores(
    products: Tensor, scale: float, softcap: float | None, added: tuple[Tensor | None, ...], future: Tensor | None
) -> Tensor:
    """(…, row, key) from the products q·k, which are overwritten where that is possible.

    `added` are biases and masks that broadcast to it: added, or, if boolean, True where attention is allowed.
    `future` is True where the kernel looks away without being given a mask.
    """
    made = products.mul_(scale)
    if softcap is not None:
        made = torch.tanh(made / softcap) * softcap
    for extra in added:
        if extra is None:
            continue
        if extra.dtype == torch.bool:
            made.masked_fill_(~extra, -math.inf)
        else:
            made = made + extra.to(made.dtype)
    return made if future is None else made.masked_fill_(future, -math.inf)


def pattern(scores: Tensor, dtype: torch.dtype, masked: bool, sinks: Tensor | None = None) -> Tensor:
    """Softmax over the keys, in float32 at least; a row that may attend nowhere gets zeros, as the kernels give it.

    `sinks` (…, row, 1) are logits beside the keys that take their share and give nothing.
    """
    wide = scores if scores.dtype == torch.float64 else scores.float()
    if sinks is not None:
        wide = torch.cat([wide, sinks.to(wide.dtype).expand(*wide.shape[:-1], 1)], -1)
    weights = wide.softmax(-1)
    if masked:
        # A causal kernel's rows see themselves at least; under a mask a row may see nothing, and softmax says NaN.
        weights = weights.masked_fill(wide.amax(-1, keepdim=True).isneginf(), 0.0)
    return (weights if sinks is None else weights[..., :-1]).to(dtype)


def forbidden(rows: int, keys: int, causal: bool, window: int | None, device: Any) -> Tensor | None:
    """(row, key): True where a kernel that gets these arguments instead of a mask looks away; None where it never does.

    A causal kernel's row i sees keys 0 to i. In a window the last row stands at the last key; each row sees its own key
    and the `window - 1` before it, and, where nothing is causal, as many behind it.
    """
    made = torch.ones(rows, keys, dtype=torch.bool, device=device).triu_(1) if causal else None
    if window is None:
        return made
    distance = torch.arange(keys - rows, keys, device=device)[:, None] - torch.arange(keys, device=device)
    outside = (distance if causal else distance.abs()) >= window
    return outside if made is None else made | outside
