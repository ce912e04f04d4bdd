"""`slope` of an activation: what its input is multiplied by to give its output."""

from typing import Any

import torch
from torch import nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.building import Building
from darklantern.models.on_torch.points import Axes, Point
from darklantern.models.on_torch.ports.modules import first_argument
from darklantern.models.on_torch.running import Run
from darklantern.models.on_torch.verifying import grafted, unchanged

_TORCHS = "torch.nn.modules.activation"
_ALONE = (
    nn.Threshold, nn.ReLU, nn.RReLU, nn.Hardtanh, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.SiLU, nn.Mish,
    nn.Hardswish, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.Hardshrink, nn.LeakyReLU, nn.LogSigmoid, nn.Softplus,
    nn.Softshrink, nn.PReLU, nn.Softsign, nn.Tanhshrink,
)  # fmt: skip
"""torch's that act on each number alone: listed, since one that does not may well keep the shape"""


def is_activation(module: nn.Module) -> bool:
    """Whether it is a nonlinearity: one of torch's that acts on each number alone or gates, or one of transformers'."""
    return acts_alone(module) or type(module) is nn.GLU


def acts_alone(module: nn.Module) -> bool:
    """Whether it maps each number by itself, which alone gives a slope a meaning. All of transformers' do."""
    named = type(module).__module__
    return named == "transformers.activations" or (named == _TORCHS and isinstance(module, _ALONE))


class SlopeTap:
    """post / pre, elementwise: held constant, the activation is linear. The module's own output stays unless edited.

    Where pre is 0 and so is post, the slope is taken as 0.
    """

    def __init__(self, module: nn.Module, path: str, axes: Axes) -> None:
        self.module = module
        self.point = Point(self, "slope", module, path, "computed beside it", axes)

    def install(self, building: Building) -> None:
        building.do_before(self.module, self._before, late=True)
        building.do_after(self.module, self._after)

    def _before(self, run: Run, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # A copy: an activation may write in place.
        run.notes[self] = first_argument(module, self.point.path, args, kwargs).clone()

    def _after(self, run: Run, _: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        pre = run.notes.pop(self)
        if output.shape != pre.shape or ((pre == 0) & (output != 0)).any():
            raise SiteError(
                f"{self.point.path} does not act on each number alone or is not 0 at 0, so it has no slope",
                hint=f"record {self.point.path}:in and :out",
            )
        nowhere = pre == 0
        slope = torch.where(nowhere, 0.0, output / torch.where(nowhere, 1.0, pre))
        new = run.visit(self.point, slope)
        actions = run.program.actions[self.point]
        if not any(action.changes for action in actions):
            return output
        made = pre * new
        return grafted(made, output, unchanged(new, slope))
