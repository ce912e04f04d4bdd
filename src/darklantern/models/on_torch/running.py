"""One run of a plan: what has fired, what was kept, when to stop."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from darklantern.errors import SiteError
from darklantern.models.keeping import Keeper
from darklantern.models.on_torch import hub, later
from darklantern.models.on_torch.lasting import Graph, is_checkpointed
from darklantern.models.on_torch.points import Point
from darklantern.models.on_torch.program import Action, Plan, Program
from darklantern.models.recording import Recording
from darklantern.models.selecting import Selection, select
from darklantern.models.sites import Site

if TYPE_CHECKING:
    from darklantern.models.on_torch.building import Part
    from darklantern.models.on_torch.shards import Shards


class Stop(BaseException):
    """Ends a run early. Not an Exception, so that no model's own `except Exception` swallows it."""

    def __init__(self, run: "Run") -> None:
        super().__init__()
        self.run = run


class Grid(Protocol):
    """A part of a value, and how indices into the whole translate."""

    @property
    def shape(self) -> tuple[int, int, int, int]: ...

    def local(self, chosen: Selection) -> Selection: ...


class Run:
    """The state of one run. Values pass through `visit`."""

    def __init__(
        self,
        plan: Plan,
        program: Program | None = None,
        start: Any = None,
        graph: Graph | None = None,
        keep: Keeper | None = None,
        tokens: Sequence[Sequence[str]] | None = None,
    ) -> None:
        self.plan = plan
        self.program = program or plan.program
        self.start = start
        """the block that the run starts at, if not at the model's inputs"""
        self.graph = graph
        """the run's autograd graph, if it will be walked with recomputation"""
        self.recomputes = graph is not None
        """this is such a walk: edits apply, and nothing is recorded again"""
        self._grad = torch.is_grad_enabled()
        self.task = -1
        """the backward pass in which it began, by autograd's number, if in one: in a hook of the user's"""
        self.began = 0
        """the number of the first autograd node that it may make"""
        self.leaves: dict[Action, list[Tensor]] = {}
        """tensors on the model's path whose gradients are asked for, call by call"""
        self.calls: dict[Point, int] = {}
        self.applied: dict[Action, None] = {}
        """the edits that were applied"""
        self.part: Part | None = None
        """which part of the actions at a point the handler under way is to do; None for all"""
        self.entered = start is None
        """whether the block that the run starts at was reached"""
        self.kept: dict[Action, list[Tensor]] = {}
        self.axes: dict[Action, tuple[str, ...]] = {}
        """of what was kept, where it is not the whole value"""
        self._given: list[tuple[Point, Tensor, int]] = []
        self.notes: dict[Any, Any] = {}
        """what a tap has to remember between two hooks of this run"""
        self._keeper = keep
        self._tokens = tokens
        self.lengths = None if tokens is None else tuple(len(each) for each in tokens)
        """the examples' own, without padding"""
        self.slots = {} if plan.stop or keep else self.program.slots
        self.first: list[Tensor | None] = [None] * len(plan.actions)
        """recordings of whole outputs, straight from the hook: each module's first call, by place in the plan"""
        self.later: list[Any] = []
        """patterns that are computed when the run is over"""
        self.puts_off = not plan.stop and keep is None and graph is None
        self._missing = len(plan.actions)
        self.shards: Shards | None = None
        """how it gets whole values, where the model is cut over several ranks"""
        self.local = False
        """each rank records its own piece there, instead"""

    @property
    def keeps(self) -> bool:
        """Whether something of the user's own is done with what is recorded."""
        return self._keeper is not None

    def visit(
        self, point: Point, value: Tensor, grid: Grid | None = None, fresh: bool = False, whole: bool = False
    ) -> Tensor:
        """`value` as it goes on from `point`, after this plan's edits; kept where it is recorded.

        With `grid`, `value` is only the part of the whole that the plan asks for. A `fresh` value is nobody else's, so
        that it may be kept as it is. `whole` says that it is no piece of a value that several ranks hold.
        """
        actions = self.program.actions.get(point)
        if actions is None:
            return value
        if self.shards is not None and not whole:
            return self.shards.visit(self, point, value, grid)
        call = self.calls.get(point, 0)
        self.calls[point] = call + (self.part is None or self.part.last)
        axes = point.axes(value)
        on_path = value.requires_grad and torch.is_grad_enabled()
        if self._grad and (self.recomputes or is_checkpointed(self._grad)):
            self._checkpointed(actions, value)
        for action in actions:
            if not action.at(call) or (self.part is not None and action not in self.part.actions):
                continue
            if action.changes and not self.entered:
                self.start.refuse_change(action)
            if action.simple and not on_path:
                self._keep(action, value if fresh else value.clone(), axes)
                continue
            chosen = self.chosen(action, axes, grid.shape if grid else value.shape)
            if chosen is None:
                continue
            chosen = grid.local(chosen) if grid else chosen
            if action.edit is not None:
                value = edited(action, value, chosen)
                self.applied[action] = None
            elif action.grad:
                value = self._leaf(action, value, chosen)
            else:
                value = self._keep_part(action, value, chosen, on_path)
        return value

    def chosen(self, action: Action, axes: tuple[str, ...], shape: Sequence[int]) -> Selection | None:
        """What `action` selects of a value of this shape; None for nothing."""
        return select(action.site, axes, shape, self.lengths, some=True, mixes=bool(action.edit and action.edit.mixes))

    def excused(self, point: Point) -> bool:
        """Whether nobody asked for `point` by its name, so that it may also carry nothing."""
        return not any(action.named for action in self.program.actions[point])

    def hands_on(self, point: Point, new: Tensor) -> None:
        """A module is given `new` in place of what the model handed it, which others may read too."""
        if not new.is_inference():  # which count no versions
            self._given.append((point, new, new._version))

    def _refuse_written(self) -> None:
        written = next((point for point, new, version in self._given if new._version != version), None)
        if written is not None:
            raise SiteError(
                f"{written.path} writes into its argument, of which {written.port!r} gave it a copy: what others read "
                "of it would not be what it wrote",
                hint=f"record under torch.no_grad(), or take {written.path}:out",
            )

    def noted(self, tap: Any) -> Any:
        """What `tap` noted in another hook; gone then, unless the same handler comes once more."""
        again = self.part is not None and not self.part.last
        return self.notes.get(tap) if again else self.notes.pop(tap, None)

    def joined(self, action: Action, point: Point, held: list[Tensor]) -> tuple[Tensor, Any]:
        """What was kept for `action` as one value, and its axes or what finds them."""
        site = action.site
        axes = self.axes.get(action) or point.axes
        if site.call != "*":
            return held[0], axes
        shapes = {tuple(array.shape) for array in held}
        if len(shapes) > 1:
            raise SiteError(
                f"{site}: the calls have different shapes, {sorted(shapes)}, and cannot be stacked",
                hint="record them one by one: " + _calls(site, len(held)),
            )
        named = axes if isinstance(axes, tuple) else axes(held[0])
        return torch.stack(held), ("call", *named)

    def _checkpointed(self, actions: tuple[Action, ...], value: Tensor) -> None:
        if self.graph is None:
            self.graph = Graph(self.plan, self.program, self.start, self.shards, self.began)
        self.graph.holds(value)
        numbered = next((action.site for action in actions if isinstance(action.site.call, int)), None)
        if numbered and any(action.changes for action in actions):
            raise SiteError(
                f"{numbered} lies in a checkpointed part of the model, where calls run again in an order of their own",
                hint="edit all calls alike, with #*, or turn activation checkpointing off",
            )

    def _leaf(self, action: Action, value: Tensor, chosen: Selection) -> Tensor:
        """Lead the path through a tensor whose gradient can be had; returns what the model goes on with."""
        if not (value.is_floating_point() or value.is_complex()):
            raise SiteError(
                f"{action.site} holds whole numbers, {value.dtype}, of which there is no gradient",
                hint="ask for embed:out, for instance",
            )
        shown = part(value, chosen)
        if not torch.is_grad_enabled():
            self._keep(action, shown.detach(), chosen.remaining)
            return value  # reentrant checkpointing: its second pass makes the graph
        if not shown.requires_grad:
            shown = shown.detach().requires_grad_()
        self._keep(action, shown, chosen.remaining)  # on the path: a cotangent at this site goes further back from it
        if self.recomputes and self.graph is not None:
            caught = self.graph.gradients.setdefault(action, [])
            shown.register_hook(lambda gradient: caught.append(gradient.clone()))
        else:
            self.leaves.setdefault(action, []).append(shown)
        if chosen.whole:
            return shown.clone()
        value = value.clone()
        chosen.write(value, shown)
        return value

    def _keep_part(self, action: Action, value: Tensor, chosen: Selection, on_path: bool) -> Tensor:
        """Record the chosen part of `value`; returns what the model goes on with."""
        shown = part(value, chosen)
        if on_path:
            # The recorded tensor lies on the model's path, so that gradients with respect to it exist; the model
            # goes on with a copy of it, so that writing in place cannot reach what was recorded.
            if chosen.whole:
                value = shown.clone()
            else:
                value = value.clone()
                chosen.write(value, shown)
        self._keep(action, shown, chosen.remaining)
        return value

    def _keep(self, action: Action, value: Tensor, axes: tuple[str, ...]) -> None:
        if self.recomputes:
            return
        if self._keeper is not None:
            # One value at a time is held: not also all that its gradient would need.
            value = value.detach()
            with hub.paused():
                value, axes = self._keeper.keep(action.site, value, axes, self._tokens)
        held = self.kept.setdefault(action, [])
        held.append(value)
        if len(held) == 1:
            self.axes[action] = axes
            self._missing -= 1
            if self.plan.stop and not self._missing:
                raise Stop(self)

    def recording(self, output: Any) -> Recording:
        """What was kept. Raises SiteError for a site that never fired, or that fired more often than it says."""
        if self.plan.outputs and self.slots and not self.kept and not any(each is None for each in self.first):
            pairs = zip(self.plan.outputs, self.first, strict=True)
            return Recording([(site, each, point.axes) for (site, point), each in pairs], output, self._tokens)
        if self.later:
            later.finish(self)
        rows: list[tuple[Site, Tensor, Any]] = []
        missed: dict[Site, str] = {}
        self._refuse_written()
        for action, (site, point), first in zip(self.plan.actions, self.plan.record, self.first, strict=True):
            held = self.kept.get(action)
            if held is None and first is not None and site.call is None:
                rows.append((site, first, point.axes))
                continue
            held = [*([] if first is None else [first]), *(held or ())]
            if len(held) == 1 and site.call != "*":
                rows.append((site, held[0], self.axes.get(action) or point.axes))
            else:
                fired = self.calls.get(point, 0) + (first is not None)
                try:
                    self._check(site, fired if held or isinstance(site.call, int) else 0)
                except SiteError as error:
                    if action.named:
                        raise
                    missed[site] = error.message
                    continue
                rows.append((site, *self.joined(action, point, held)))
        for action, (site, point, edit) in zip(self.plan.changes, self.plan.edits, strict=True):
            if self.start is not None and edit in self.start.edits and action not in self.applied:
                continue  # it is in what the start holds
            self._check(site, self.calls.get(point, 0))
            if action not in self.applied:
                raise self._unapplied(site)
        if missed and not rows:
            raise SiteError(f"nothing to record: {next(iter(missed.values()))}", hint="look at model.tree(inputs)")
        recording = Recording(rows, output, self._tokens, missed)
        return recording if self._keeper is None else self._keeper.finished(recording)

    def _unapplied(self, site: Site) -> SiteError:
        return SiteError(
            f"the edit at {site} was never applied", hint="ask for the site in a recording to see its calls"
        )

    def _check(self, site: Site, count: int) -> None:
        if not count:
            started = None if self.start is None else f"this run starts at {self.start.path}; it may come before"
            raise SiteError(
                f"the run never reached {site}",
                hint=started
                or "the module exists, and its forward was not called with these inputs; choose another site",
            )
        if isinstance(site.call, int) and site.call >= count:
            raise SiteError(f"{site} never fired: the module ran {count} times", hint=_calls(site, count))
        if site.call is None and count > 1:
            raise SiteError(f"{site} fired {count} times in one run, so which one?", hint=_calls(site, count))


def edited(action: Action, value: Tensor, chosen: Selection) -> Tensor:
    """`value` with the chosen part replaced by what the action's edit makes of it."""
    assert action.edit is not None
    old = part(value, chosen)
    try:
        with hub.paused():  # an edit may call parts of the model itself
            new = action.edit(old, chosen.remaining)
    except SiteError as error:
        error.add_note(f"in the edit {action.edit} at {action.site}")
        raise
    return put_back(action, value, chosen, old, new)


def part(value: Tensor, chosen: Selection) -> Tensor:
    """The chosen part as a copy: what gets it may write into it, and `value` is the model's own, or the caller's."""
    return (value if chosen.whole else chosen.part(value)).clone()


def put_back(action: Action, value: Tensor, chosen: Selection, old: Tensor, new: Any) -> Tensor:
    """`value` with `new` in place of `old`, the copy of its chosen part."""
    if not isinstance(new, Tensor) or new.shape != old.shape:
        came = f"shape {tuple(new.shape)}" if isinstance(new, Tensor) else type(new).__name__
        raise SiteError(
            f"the edit {action.edit} at {action.site} must return a tensor of shape {tuple(old.shape)}, got {came}",
            hint="an edit takes the value and returns its replacement, of the same shape",
        )
    if chosen.whole:
        # A copy: the edit may have handed back a tensor of somebody's own, to which the model may go on to write.
        return new if new is old else new.to(value.dtype).clone()
    made = value.clone()
    chosen.write(made, new.to(value.dtype))
    return made


def _calls(site: Site, count: int) -> str:
    named = [str(Site(site.path, site.port, site.select, call, site.member)) for call in (0, count - 1, "*")]
    return f"{named[0]} is the first, {named[1]} the last, {named[2]} all"
