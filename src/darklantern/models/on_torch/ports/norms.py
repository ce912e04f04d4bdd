"""`scale` of a norm: what the centred input is divided by."""

from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.building import Building
from darklantern.models.on_torch.offloaded import at_hand
from darklantern.models.on_torch.points import Axes, Point
from darklantern.models.on_torch.ports.modules import first_argument
from darklantern.models.on_torch.running import Run
from darklantern.models.on_torch.structure import whole
from darklantern.models.on_torch.verifying import grafted, rounding, unchanged, within


def is_norm(module: nn.Module) -> bool:
    """A norm over the last axis: LayerNorm, RMSNorm, and what other libraries call so."""
    named = type(module).__name__
    return isinstance(module, nn.LayerNorm | nn.RMSNorm) or (
        named.endswith(("LayerNorm", "RMSNorm")) and not any(True for _ in module.children())
    )


class ScaleTap:
    """Computes the scale beside the module, whose own output stays as it is unless an edit changes the scale.

    Which formula the module follows (is the mean taken off, is the weight `w` or `1 + w`) is settled by
    comparing with the module's output, at each run.
    """

    def __init__(self, module: nn.Module, path: str, axes: Axes) -> None:
        self.module = module
        self.point = Point(self, "scale", module, path, "computed beside it", axes)

    def install(self, building: Building) -> None:
        building.do_after(self.module, self._after)

    def _after(self, run: Run, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        x = first_argument(module, self.point.path, args, kwargs)
        with at_hand(module):
            centred, scale, weight, bias = self._formula(module, x, output)
        new = run.visit(self.point, scale)
        actions = run.program.actions[self.point]
        if not any(action.changes for action in actions):
            return output
        made = _affine(centred, new, weight, bias)
        return grafted(made, output, unchanged(new, scale))

    def _formula(self, module: nn.Module, x: Tensor, output: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        if not isinstance(output, Tensor) or output.shape != x.shape:
            raise SiteError(f"{self.point.path} does not return its input's shape", hint="record its in and out")
        named = [getattr(module, name) for name in _EPSILONS if hasattr(module, name)]
        # torch's default is that of the dtype it computes in, in some versions that of its input.
        least = [torch.finfo(dtype).eps for dtype in (torch.promote_types(x.dtype, torch.float32), x.dtype)]
        # Some write theirs into their code only.
        epsilons = [1e-5, 1e-6, *least, 1e-12]
        if named:
            epsilons = least if named[0] is None else [float(named[0])]
        axes = _width(module, x)
        centre_first = isinstance(module, nn.LayerNorm) or "RMS" not in type(module).__name__
        held = (getattr(module, "weight", None), getattr(module, "bias", None))
        weight, bias = (None if each is None else whole(each) for each in held)
        weights = [torch.ones((), dtype=x.dtype, device=x.device)] if weight is None else [weight, 1 + weight]
        # Some libraries' norms compute in float32 whatever they are given.
        for wide in (x.double(), x.float()) if x.dtype == torch.float64 else (x.float(),):
            for centred, epsilon in product((True, False) if centre_first else (False, True), epsilons):
                middle = wide - wide.mean(axes, keepdim=True) if centred else wide
                scale = (middle.square().mean(axes, keepdim=True) + epsilon).sqrt()
                for each in weights:
                    bound = _bound(wide, middle, scale, each, bias, output.dtype, axes)
                    if within(_affine(middle, scale, each, bias), output, bound):
                        return middle, scale, each, bias
        raise SiteError(
            f"{self.point.path}, a {type(module).__name__}, follows none of the known formulas (is its output finite?)",
            hint="no scale port here; known: (x − mean)/√(var + ε) and x/√(mean x² + ε), times w or 1 + w, plus b",
        )


_EPSILONS = ("eps", "variance_epsilon", "epsilon", "norm_eps")


def _width(module: nn.Module, x: Tensor) -> tuple[int, ...]:
    shape = getattr(module, "normalized_shape", None)
    return tuple(range(-len(shape), 0)) if isinstance(shape, tuple) else (-1,)


@torch.no_grad()
def _bound(
    wide: Tensor,
    middle: Tensor,
    scale: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype,
    axes: tuple[int, ...],
) -> Tensor:
    """How far rounding takes the output, number by number, from the operands.

    What the mean takes off is as exact as the mean's terms; the scale, where a kernel computes the variance as
    E[x²] − E[x]², as exact as E[x²].
    """
    own, computed = rounding(dtype, weight.dtype), torch.finfo(wide.dtype).eps
    terms = wide.abs() + (wide.abs().mean(axes, keepdim=True) if middle is not wide else 0.0)
    condition = wide.square().mean(axes, keepdim=True) / scale.square()
    made = (4 * own + 8 * computed) * terms + 8 * computed * condition * middle.abs()
    made = made / scale * weight.abs()
    return made if bias is None else made + 4 * (own + computed) * bias.abs()


def _affine(centred: Tensor, scale: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out = centred / scale * weight
    return out if bias is None else out + bias
