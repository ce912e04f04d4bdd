"""Whether the plain formula of attention reproduces what a kernel returned, and for which calls that was seen."""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from darklantern.models.on_torch.verifying import dot_rounding, rounding, within

if TYPE_CHECKING:
    from darklantern.models.on_torch.ports.attention import Call, Cells

_AT_ONCE = 1 << 24
"""scores: a comparison takes several times their memory"""
_SAFETY = 2.0

Kind = tuple[object, ...]
_Seen = tuple[frozenset[int] | None, ...]
"""the examples, heads and rows of one comparison; None for all of an axis"""

_ALL: _Seen = (None, None, None)


class Certificates:
    """The calls of one attention module whose pattern was found to give the kernel's z."""

    def __init__(self) -> None:
        self._seen: dict[Kind, list[_Seen]] = {}

    def cover(self, call: "Call", cells: "Cells") -> bool:
        """Whether a comparison was made of such a call, and of all that `cells` asks for."""
        held = self._seen.get(_kind(call)) if call.told else None
        if not held:
            return False
        if _ALL in held:
            return True
        asked = _axes(cells)
        return any(
            all(s is None or (a is not None and a <= s) for s, a in zip(seen, asked, strict=True)) for seen in held
        )

    def add(self, call: "Call", cells: "Cells") -> None:
        held = self._seen.setdefault(_kind(call), [])
        seen = _axes(cells)
        if seen not in held:
            held.append(seen)


def _kind(call: "Call") -> Kind:
    """What a kernel may treat in its own way; lengths by their number of binary digits."""
    q, mask = call.q, call.mask
    rows, keys = q.shape[2], call.k.shape[2]
    return (
        call.by, q.dtype, q.device, mask is None or mask.dtype, call.causal, call.window, call.softcap,
        call.bias is None, call.sinks is None, rows == 1, rows.bit_length(), keys.bit_length(),
    )  # fmt: skip


def _axes(cells: "Cells") -> _Seen:
    return tuple(None if each is None else frozenset(each.tolist()) for each in (cells.batch, cells.heads, cells.rows))


@torch.no_grad()
def apart(cells: "Cells", call: "Call", scores: Tensor, z: Tensor) -> float | None:
    """How far pattern times v is from the kernel's `z`, at most; None where that is rounding, number by number."""
    weights, found = cells.pattern(scores, call), cells.of_z(z)
    mine = cells.z(weights, call)
    size = scores.shape[0] * scores.shape[2] * scores.shape[3]
    for heads in torch.arange(scores.shape[1]).split(max(1, _AT_ONCE // max(size, 1))):
        at = slice(int(heads[0]), int(heads[-1]) + 1)
        if not within(mine[:, at], found[:, at], _bound(cells, call, scores[:, at], weights[:, at], z.dtype, at)):
            return float((mine - found).abs().max())
    return None


def _bound(cells: "Cells", call: "Call", scores: Tensor, weights: Tensor, dtype: torch.dtype, at: slice) -> Tensor:
    """How far rounding takes z, number by number, from the operands: scores first, then the softmax, then the sum.

    A score is off by what its dot product and its own dtype round. That share is a weight's relative error, to which
    its row's mean comes from the softmax's sum; and z is off by its weights' errors times |v|.
    """
    wide = torch.promote_types(call.q.dtype, torch.float32)
    q, k, v = (each[:, at].to(wide).abs() for each in cells.operands(call))
    own, dot = rounding(call.q.dtype, call.v.dtype, dtype), dot_rounding(call.q.dtype, call.q.device)
    sizes = scores.to(wide).abs().nan_to_num(posinf=0.0)
    if call.bias is not None:
        bias = cells.part(call.bias).to(wide).abs()
        sizes = sizes + (bias if bias.shape[1] == 1 else bias[:, at])
    products = torch.matmul(q, k.transpose(-1, -2)).mul_(abs(call.scale) * dot * math.sqrt(q.shape[-1]))
    off = products.add_(sizes.mul_(1.5 * own)).mul_(weights)  # each weight's error
    sums = 2 * own + dot * math.sqrt(k.shape[-2])
    total = torch.matmul(weights.to(wide), v) * (off.sum(-1, keepdim=True) + sums) + torch.matmul(off, v)
    return _SAFETY * total
