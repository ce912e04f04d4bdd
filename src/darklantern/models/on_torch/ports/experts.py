"""`router` of a mixture of experts: the logits by which tokens choose their experts."""

from typing import Any

from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.points import Point, fixed
from darklantern.models.on_torch.program import Program
from darklantern.models.on_torch.running import Run

ROUTERS = ("gate", "router", "router.layer")


class RouterTap:
    """The router's output, its tokens put back into (batch, pos)."""

    order = 5

    def __init__(self, moe: nn.Module, router: nn.Module, path: str) -> None:
        self.moe, self.router = moe, router
        self.point = Point(self, "router", router, path, "the router's logits", fixed("router"))

    def install(self, program: Program) -> None:
        program.do_before(self.moe, self._before)
        program.do_after(self.router, self._after)

    def _before(self, run: Run, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else next(iter(kwargs.values()))
        run.notes[self] = tuple(hidden.shape[:2])

    def _after(self, run: Run, _: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        logits = output if isinstance(output, Tensor) else output[0]
        shown = logits.reshape(*run.notes.pop(self), -1)
        new = run.visit(self.point, shown)
        if new is shown:
            return output
        if isinstance(output, Tensor):
            return new.reshape(logits.shape)
        if any(action.changes for action in run.program.actions[self.point]):
            raise SiteError(
                f"{self.point.path} chooses the experts itself and returns its choice beside the logits, so nothing "
                "depends on the logits: an edit would do nothing, and their gradient is not the choice's",
                hint=f"edit what it chose: {self.point.path}:out.1 and :out.2",
            )
        return output
