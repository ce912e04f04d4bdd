"""`nn.MultiheadAttention`: its ports computed beside it from its own weights, its output untouched unless edited.

The module fuses projections and kernel, in some cases into one operation, so there is nothing to put a tap in.
Without edits the output keeps its bits; with edits, the rows that change are computed here.
"""

import inspect
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.building import Building
from darklantern.models.on_torch.offloaded import at_hand
from darklantern.models.on_torch.points import Point, fixed
from darklantern.models.on_torch.ports.attention import AttentionPoints, Call, Cells, points
from darklantern.models.on_torch.running import Run
from darklantern.models.on_torch.verifying import agree, grafted, unchanged


class MultiheadTap:
    """One `nn.MultiheadAttention`."""

    def __init__(self, module: nn.MultiheadAttention, path: str) -> None:
        self.module = module
        self.own: AttentionPoints = points(module, path, self, "beside nn.MultiheadAttention")
        self.result = Point(self, "result", module, path, "from z and the output projection", fixed("result"))

    def install(self, building: Building) -> None:
        building.do_after(self.module, self._after)

    def _after(self, run: Run, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        with at_hand(self.module, self.module.out_proj):
            return self._beside(run, args, kwargs, output)

    def _beside(self, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        module = self.module
        bound = inspect.signature(nn.MultiheadAttention.forward).bind(module, *args, **kwargs)
        bound.apply_defaults()
        call = self._call(bound.arguments, output[1] is not None)
        given = (call.q, call.k, call.v)
        z = self.own.attend(run, call)
        result = self._result(run, z)
        points = (*self.own.points.values(), self.result)
        changes = [action for point in points for action in run.program.actions.get(point, ()) if action.changes]
        out = output[0]
        if not changes:
            return output
        made = self._out(z) if result is None else self._laid_out(result)
        weights = output[1]
        if isinstance(weights, Tensor):
            averaged, first = weights.ndim == 3, _weights(replace(call, q=given[0], k=given[1]))
            old, new = (each.mean(1) if averaged else each for each in (first, call.returned[0]))
            weights = grafted(new, weights, unchanged(new, old))
        if all(action.keeps_value for action in changes):
            new = grafted(made, out)
        else:
            before = self._out(call.kernel(*given))
            if not agree(before, out):
                raise SiteError(
                    f"{self.own.points['z'].path} returned something else than its weights and arguments say",
                    hint="edit its in or out; is attention dropout on, or was it replaced?",
                )
            new = grafted(made, out, unchanged(made, before).all(-1, keepdim=True))
        return (new, weights, *output[2:])

    def _call(self, given: dict[str, Any], weighed: bool) -> Call:
        module = self.module
        query, key, value = given["query"], given["key"], given["value"]
        self._refuse_uncovered(query)
        if not module.batch_first:
            query, key, value = (each.transpose(0, 1) for each in (query, key, value))
        weights = (
            module.in_proj_weight.chunk(3)
            if module.in_proj_weight is not None
            else (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
        )
        biases = (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(each, weight, bias).unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
            for each, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        mask = _mask(given["attn_mask"], given["key_padding_mask"], q)

        returned: list[Any] = [None]

        def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2)

        dropout = module.dropout if module.training else 0.0
        call = Call(q, k, v, plain, scale=q.shape[-1] ** -0.5, mask=mask, dropout=dropout, returned=returned)
        if not weighed:
            return call

        def kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            returned[0] = _weights(replace(call, q=q, k=k))
            return plain(q, k, v)

        return replace(call, kernel=kernel)

    def _refuse_uncovered(self, query: Tensor) -> None:
        """Raises SiteError for what has no attention ports, and says which of it this is."""
        module, hint = self.module, "its in and out can be recorded"
        if query.is_nested:
            came = "a nested tensor, as nn.TransformerEncoder makes of padded inputs"
            hint = f"build the encoder with enable_nested_tensor=False; or {hint}"
        elif query.ndim != 3:
            came, hint = f"a query without a batch, of shape {tuple(query.shape)}", f"add an axis batch; or {hint}"
        elif module.bias_k is not None:
            came = "keys and values of its own (add_bias_kv=True)"
        elif module.add_zero_attn:
            came = "a key of zeros beside the others (add_zero_attn=True)"
        else:
            return
        raise SiteError(f"{self.own.points['z'].path} has no attention ports with {came}", hint=hint)

    def _result(self, run: Run, z: Tensor) -> Tensor | None:
        """What the heads add to the output together, where a plan asks for their parts."""
        if self.result not in run.program.actions:
            return None
        weight = self.module.out_proj.weight.unflatten(1, (self.module.num_heads, -1))
        total = run.visit(self.result, torch.einsum("bphd,ohd->bpho", z, weight)).sum(2)
        return total if self.module.out_proj.bias is None else total + self.module.out_proj.bias

    def _out(self, z: Tensor) -> Tensor:
        return self._laid_out(F.linear(z.flatten(-2), self.module.out_proj.weight, self.module.out_proj.bias))

    def _laid_out(self, out: Tensor) -> Tensor:
        return out if self.module.batch_first else out.transpose(0, 1)


def _weights(call: Call) -> Tensor:
    """The whole pattern, which the module returns where it is asked for weights."""
    cells = Cells((call.q.shape[0], call.q.shape[1], call.q.shape[2], call.k.shape[2]), None, None, None)
    return cells.pattern(cells.scores(call), call)


def _mask(attn_mask: Tensor | None, padding: Tensor | None, q: Tensor) -> Tensor | None:
    """Both masks as one that is added to the scores; here True means forbidden, unlike in the kernel."""
    total = None
    for mask in (attn_mask, None if padding is None else padding[:, None, None, :]):
        if mask is None:
            continue
        if mask.ndim == 3:
            mask = mask.unflatten(0, (q.shape[0], -1))
        added = (
            torch.zeros_like(mask, dtype=q.dtype).masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else mask
        )
        total = added if total is None else total + added
    return total
