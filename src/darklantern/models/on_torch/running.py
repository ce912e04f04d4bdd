"""One run of a plan: what has fired, what was kept, when to stop."""

from typing import Any, Protocol

import torch
from torch import Tensor

from darklantern.errors import SiteError
from darklantern.models.on_torch.points import Point
from darklantern.models.on_torch.program import Action, Plan
from darklantern.models.recording import Recording, Value
from darklantern.models.selecting import Index, indices, part, remaining, whole, write
from darklantern.models.sites import Site


class Stop(BaseException):
    """Ends a run early. Not an Exception, so that no model's own `except Exception` swallows it."""

    def __init__(self, run: "Run") -> None:
        super().__init__()
        self.run = run


class Grid(Protocol):
    """A part of a value, and how indices into the whole translate."""

    @property
    def shape(self) -> tuple[int, int, int, int]: ...

    def local(self, index: tuple[Index, ...]) -> tuple[Index, ...]: ...


class Run:
    """The state of one run. Values pass through `visit`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.program = plan.program
        self.calls: dict[Point, int] = {}
        self.kept: dict[Site, list[Value]] = {}
        self.notes: dict[Any, Any] = {}
        """what a tap has to remember between two hooks of this run"""
        self._missing = len(plan.record)

    def visit(self, point: Point, value: Tensor, grid: "Grid | None" = None) -> Tensor:
        """`value` as it goes on from `point`, after this plan's edits; kept where it is recorded.

        With `grid`, `value` is only the part of the whole that the plan asks for.
        """
        actions = self.program.actions.get(point)
        if actions is None:
            return value
        call = self.calls.get(point, 0)
        self.calls[point] = call + 1
        axes = point.axes(value)
        for action in actions:
            if action.site.call in (None, "*", call):
                index = indices(action.site, axes, grid.shape if grid else value.shape)
                index = grid.local(index) if grid else index
                if action.edit is not None:
                    value = edited(action, value, axes, index)
                else:
                    value = self.keep(action.site, value, axes, index)
        return value

    def keep(self, site: Site, value: Tensor, axes: tuple[str, ...], index: tuple[Index, ...]) -> Tensor:
        """Record the part of `value` at `index`; returns what the model goes on with."""
        shown = (value if whole(index) else part(value, index)).clone()
        if torch.is_grad_enabled() and value.requires_grad:
            # The recorded tensor lies on the model's path, so that gradients with respect to it exist; the model
            # goes on with a copy of it, so that writing in place cannot reach what was recorded.
            if whole(index):
                value = shown.clone()
            else:
                value = value.clone()
                write(value, index, shown)
        held = self.kept.setdefault(site, [])
        held.append(Value(site, shown, remaining(axes, index)))
        if len(held) == 1:
            self._missing -= 1
        if self.plan.stop and not self._missing:
            raise Stop(self)
        return value

    def recording(self, output: Any) -> Recording:
        """What was kept. Raises SiteError for a site that never fired, or that fired more often than it says."""
        self._check()
        return Recording([_joined(site, self.kept[site]) for site in self.plan.sites], output)

    def _check(self) -> None:
        asked = [*self.plan.record, *((site, point) for site, point, _ in self.plan.edits)]
        silent = [str(site) for site, point in asked if not self.calls.get(point)]
        if silent:
            raise SiteError(
                f"the run never reached {', '.join(silent)}",
                hint="the module exists, and its forward was not called with these inputs; choose another site",
            )
        for site, point in asked:
            count = self.calls[point]
            if isinstance(site.call, int) and site.call >= count:
                raise SiteError(f"{site} never fired: the module ran {count} times", hint=_calls(site, count))
            if site.call is None and count > 1 and not self.plan.stop:
                raise SiteError(f"{site} fired {count} times in one run, so which one?", hint=_calls(site, count))


def edited(action: Action, value: Tensor, axes: tuple[str, ...], index: tuple[Index, ...]) -> Tensor:
    """`value` with the part at `index` replaced by what the action's edit makes of it."""
    assert action.edit is not None
    old = value if whole(index) else part(value, index)
    new = action.edit(old, remaining(axes, index))
    if not isinstance(new, Tensor) or new.shape != old.shape:
        came = f"shape {tuple(new.shape)}" if isinstance(new, Tensor) else type(new).__name__
        raise SiteError(
            f"the edit {action.edit} at {action.site} must return a tensor of shape {tuple(old.shape)}, got {came}",
            hint="an edit takes the value and returns its replacement, of the same shape",
        )
    if whole(index):
        # A copy: the edit may have handed back a tensor of somebody's own, to which the model may go on to write.
        return new.to(value.dtype).clone()
    made = value.clone()
    write(made, index, new.to(value.dtype))
    return made


def _joined(site: Site, kept: list[Value]) -> Value:
    if site.call != "*":
        return kept[0]
    shapes = {value.shape for value in kept}
    if len(shapes) > 1:
        raise SiteError(
            f"{site}: the calls have different shapes, {sorted(shapes)}, and cannot be stacked",
            hint="record them one by one: " + _calls(site, len(kept)),
        )
    return Value(site, torch.stack([value.array for value in kept]), ("call", *kept[0].axes))


def _calls(site: Site, count: int) -> str:
    named = [str(Site(site.path, site.port, site.select, call, site.member)) for call in (0, count - 1, "*")]
    return f"{named[0]} is the first, {named[1]} the last, {named[2]} all"
