"""Plans for compiled models: hooks that the compiler takes in, set before it looks."""

import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from darklantern.errors import SiteError
from darklantern.models import shim
from darklantern.models.on_torch import compiled
from darklantern.models.on_torch.building import Part
from darklantern.models.on_torch.points import Point
from darklantern.models.on_torch.ports.modules import InTap, OutTap
from darklantern.models.on_torch.program import Plan
from darklantern.models.on_torch.running import part, put_back
from darklantern.models.recording import Recording
from darklantern.models.selecting import select
from darklantern.models.sites import Site


class Declared:
    """A plan's hooks on a module, from now until `close`, plain enough for torch.compile to trace.

    Unlike a run it serves every call of the module, in whatever thread, and knows no padding.
    """

    part: Part | None = None
    """which part of the actions at a point the handler under way is to do, as in a run"""

    def __init__(self, module: nn.Module, plan: Plan) -> None:
        compiled.refuse(plan.leading)
        shim.backend("torch")  # loaded before a compiler looks, which cannot go along
        for site, point in (*((site, point) for site, point, _ in plan.edits), *plan.record):
            _check(site, point)
        self.plan, self.program = plan, plan.program
        # Numbers stand for sites in what compiled code writes to. It looks no action up: that hashes its edit's arrays.
        numbers = {action: number for number, action in enumerate((*plan.changes, *plan.actions))}
        self._numbered = {
            point: tuple((numbers[action], action) for action in actions)
            for point, actions in self.program.actions.items()
        }
        self._calls: dict[int, int] = {}
        self._kept: dict[int, Tensor] = {}
        self._axes: dict[int, tuple[str, ...]] = {}
        self._handles: list[RemovableHandle] = []
        try:
            self._set(module)
            _compile_anew()
        except BaseException:
            self.close()
            raise

    def recording(self) -> Recording:
        """What the last call kept; hands it out once. Raises SiteError for a site that did not fire since, or twice."""
        sites = [*(site for site, _, _ in self.plan.edits), *self.plan.sites]
        silent = [str(site) for number, site in enumerate(sites) if number not in self._calls]
        if silent:
            raise SiteError(
                f"since the last recording nothing came through {', '.join(silent)}",
                hint="call the compiled module first; it must be compiled after declare, or it ignores the hooks",
            )
        several = [(site, self._calls[number]) for number, site in enumerate(sites) if self._calls[number] > 1]
        before = len(self.plan.edits)
        rows = [(site, self._kept[before + n], self._axes[before + n]) for n, site in enumerate(self.plan.sites)]
        self._forget()
        if several:
            raise SiteError(
                f"{several[0][0]} fired {several[0][1]} times in one call, and a declared plan sees every call alike",
                hint="record it uncompiled, where #0 is the first call; if a part was compiled alone, take a recording "
                "after each call",
            )
        return Recording(rows, None)

    def visit(self, point: Point, value: Tensor) -> Tensor:
        """As a run's: `value` as it goes on from `point`."""
        for number, action in self._numbered[point]:
            if self.part is not None and action not in self.part.actions:
                continue
            self._calls[number] = self._calls.get(number, 0) + 1
            chosen = select(action.site, point.axes(value), value.shape)
            held = part(value, chosen)
            if action.edit is not None:
                value = put_back(action, value, chosen, held, action.edit(held, chosen.remaining))
            else:
                self._kept[number], self._axes[number] = held, chosen.remaining
        return value

    def excused(self, _: Point) -> bool:
        """As a run's: what is declared was asked for."""
        return False

    def hands_on(self, _: Point, __: Tensor) -> None:
        """As a run's, which looks at versions; compiled code has none."""

    def close(self) -> None:
        """Take the hooks away; a compiled module compiles again without them."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        _compile_anew()

    def __enter__(self) -> "Declared":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set(self, root: nn.Module) -> None:
        self._handles.append(root.register_forward_pre_hook(lambda *_: self._forget(), prepend=True))
        for module in self.program.before:
            self._handles.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
        for module in {**self.program.after, **self.program.out}:
            self._handles.append(module.register_forward_hook(self._after, with_kwargs=True))

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for handler in self.program.before[module]:
            new = handler(self, module, args, kwargs)
            if new is not None:
                args, kwargs = new
        return args, kwargs

    def _after(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        for handler in (*self.program.after.get(module, ()), *self.program.out.get(module, ())):
            output = handler(self, module, args, kwargs, output)
        return output

    def _forget(self) -> None:
        self._calls.clear()
        self._kept.clear()


def _compile_anew() -> None:
    """Compiled code does not look whether hooks have come or gone; so all of it is compiled again when next called."""
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()


def _check(site: Site, point: Point) -> None:
    if not isinstance(point.tap, InTap | OutTap):
        raise SiteError(
            f"{point.path}:{point.port} cannot be declared for compilation",
            hint='in, out, pre, post and neurons can; open(model, compiled="eager") sees everything, uncompiled',
        )
    if site.call is not None:
        raise SiteError(f"{site}: a declared plan sees every call alike", hint="leave #call out")
