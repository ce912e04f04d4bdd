"""`result`, `q_pre` and `k_pre`: what stands on the projections around an attention kernel."""

from typing import Any

import torch
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch import hub
from darklantern.models.on_torch.points import Point, fixed
from darklantern.models.on_torch.program import Program
from darklantern.models.on_torch.running import Run
from darklantern.models.on_torch.structure import whole

OUT_PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense", "wo", "proj", "out", "o", "to_out.0")
"""what families call an attention's output projection"""


class ResultTap:
    """What each head adds to the attention's output: the projection applied to its z alone, bias left out."""

    order = 5

    def __init__(self, projection: nn.Module, path: str, attention: Any) -> None:
        self.module, self.attention = projection, attention
        self.point = Point(self, "result", projection, path, "from the output projection's input", fixed("result"))

    def install(self, program: Program) -> None:
        self.attention.install(program)  # whose kernel tells how many heads there are
        program.do_after(self.module, self._after)

    @property
    def heads(self) -> int:
        return int(self.attention.own.heads)

    def _after(self, run: Run, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        flat = args[0] if args else next(iter(kwargs.values()))
        flat = flat.flatten(2) if flat.ndim == 4 else flat
        per_head = flat.unflatten(-1, (self.heads, -1))
        result = self._apart(module, per_head)
        new = run.visit(self.point, result)
        actions = run.program.actions[self.point]
        if not any(action.changes for action in actions):
            return output
        made = new.sum(2) - result.detach().sum(2)
        if all(action.keeps_value for action in actions):
            return output.detach() + (made - made.detach()) + self._bias(module, output)
        return output + (new - result).sum(2)

    def _apart(self, module: nn.Module, per_head: Tensor) -> Tensor:
        if type(module) is nn.Linear:
            weight = whole(module.weight).unflatten(1, (self.heads, -1))
            return torch.einsum("bphd,ohd->bpho", per_head, weight)
        if _is_transposed(module):
            weight = whole(torch.as_tensor(module.weight)).unflatten(0, (self.heads, -1))
            return torch.einsum("bphd,hdo->bpho", per_head, weight)
        # Adapters, quantised weights: any affine map shows its parts when each head goes in alone.
        alone = torch.eye(self.heads, dtype=per_head.dtype, device=per_head.device)[:, None, None, :, None] * per_head
        with hub.paused():
            out = module(alone.flatten(0, 1).flatten(2)).unflatten(0, (self.heads, -1))
            nothing = module(torch.zeros_like(per_head[:1, :1]).flatten(2))
        return (out - nothing).permute(1, 2, 0, 3)

    @staticmethod
    def _bias(module: nn.Module, output: Tensor) -> Tensor:
        """A bias's share of the gradient, its value taken off again."""
        bias = getattr(module, "bias", None)
        if bias is None:
            return torch.zeros_like(output)
        bias = whole(bias)
        return (bias - bias.detach()).expand_as(output)


class BeforeRotaryTap:
    """q or k before rotary embedding: the projection's output, or that of q's and k's own norm behind it, by heads."""

    order = 5

    def __init__(self, source: nn.Module, path: str, port: str, head_dim: int) -> None:
        self.module, self.head_dim = source, head_dim
        self.point = Point(self, port, source, path, "before rotary embedding", fixed(port))

    def install(self, program: Program) -> None:
        program.do_after(self.module, self._after)

    def _after(self, run: Run, _: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        if not isinstance(output, Tensor) or output.ndim not in (3, 4) or output.shape[-1] % self.head_dim:
            raise SiteError(
                f"{self.point.path} returns {getattr(output, 'shape', type(output).__name__)}, "
                f"not heads of {self.head_dim}",
                hint=f"record {self.point.path}:out",
            )
        shown = output.unflatten(-1, (-1, self.head_dim)) if output.ndim == 3 else output
        new = run.visit(self.point, shown)
        return output if new is shown else new.reshape(output.shape)


def _is_transposed(module: nn.Module) -> bool:
    """transformers' Conv1D: an affine map that keeps its weight as (in, out)."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")
