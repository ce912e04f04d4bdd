"""`router` of a mixture of experts: the logits by which tokens choose their experts."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.building import Building
from darklantern.models.on_torch.offloaded import at_hand
from darklantern.models.on_torch.points import Point, fixed
from darklantern.models.on_torch.ports.modules import OutTap, first_argument
from darklantern.models.on_torch.running import Run
from darklantern.models.on_torch.verifying import agree

ROUTERS = ("gate", "router", "router.layer")


class ChosenOutTap(OutTap):
    """`out` of a router. Where it returns its choice beside the logits, the logits go nowhere: no edit of them."""

    def _after(self, run: Run, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        beside = isinstance(output, tuple) and len(output) > 1 and self.member in ("", "0")
        if beside and any(action.changes for action in run.program.actions[self.point]):
            raise _unused(self.point)
        return super()._after(run, module, args, kwargs, output)


def _unused(point: Point) -> SiteError:
    return SiteError(
        f"{point.path} chooses the experts itself and returns its choice beside the logits, so nothing "
        "depends on the logits: an edit would do nothing, and their gradient is not the choice's",
        hint=f"edit what it chose: {point.path}:out.1 and :out.2",
    )


class RouterTap:
    """The router's output, its tokens put back into (batch, pos)."""

    def __init__(self, moe: nn.Module, router: nn.Module, path: str) -> None:
        self.moe, self.router = moe, router
        self.point = Point(self, "router", router, path, "the router's logits", fixed("router"))

    def install(self, building: Building) -> None:
        building.do_before(self.moe, self._before, late=True)
        building.view_returned(self.router, self.point, self._after, as_is=False)

    def _before(self, run: Run, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = first_argument(module, self.point.path, args, kwargs)
        run.notes[self] = tuple(hidden.shape[:2])

    def _after(self, run: Run, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        place = 0 if isinstance(output, Tensor) else self._which(args, kwargs, output)
        logits = output if isinstance(output, Tensor) else output[place]
        shown = logits.reshape(*run.noted(self), -1)
        new = run.visit(self.point, shown)
        if new is shown:
            return output
        if isinstance(output, Tensor):
            return new.reshape(logits.shape)
        if any(action.changes for action in run.program.actions[self.point]):
            raise _unused(self.point)
        return output

    @torch.no_grad()
    def _which(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: tuple[Any, ...]) -> int:
        """Where the logits stand in what the router returns: beside them may stand scores made from them."""
        x = first_argument(self.router, self.point.path, args, kwargs)
        weight = getattr(self.router, "weight", None)
        if not isinstance(weight, Tensor) or weight.ndim != 2:
            return 0
        with at_hand(self.router):
            held: Any = self.router
            made = F.linear(x.to(weight.dtype), held.weight, getattr(held, "bias", None))
        made = made.reshape(-1, made.shape[-1])
        for place, each in enumerate(output):
            alike = isinstance(each, Tensor) and each.numel() == made.numel()
            if alike and agree(each.reshape(made.shape).to(made.dtype), made):
                return place
        return 0
