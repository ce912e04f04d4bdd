"""A plan, resolved once, and the program that it becomes: what each module has to do while a run lasts."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from darklantern.models.edits import Edit
from darklantern.models.on_torch.points import Point, Tap
from darklantern.models.sites import Site

Before = Callable[..., tuple[tuple[Any, ...], dict[str, Any]] | None]
"""(run, module, args, kwargs) → the args and kwargs to go on with, or None"""
After = Callable[..., Any]
"""(run, module, args, kwargs, output) → the output to go on with"""


@dataclass(frozen=True, eq=False)
class Action:
    """What happens at a point: an edit, or a recording."""

    site: Site
    edit: Edit | None = None
    grad: bool = False
    """the gradient with respect to the value here is asked for"""

    @property
    def changes(self) -> bool:
        """Whether the model's path has to lead through the value, which a recording alone does not need."""
        return self.edit is not None or self.grad

    @property
    def keeps_value(self) -> bool:
        """Whether the value stays bitwise the same."""
        return self.edit is None or self.edit.keeps_value


@dataclass(eq=False)
class Program:
    """What each module does, in order; made from a plan, the same for all its runs."""

    before: dict[nn.Module, list[Before]] = field(default_factory=dict)
    after: dict[nn.Module, list[After]] = field(default_factory=dict)
    kernels: dict[nn.Module, Any] = field(default_factory=dict)
    """attention modules whose kernel is tapped"""
    around: dict[object, Callable[[], AbstractContextManager[None]]] = field(default_factory=dict)
    """what is entered while a run lasts, each under a key of its own"""
    actions: dict[Point, tuple[Action, ...]] = field(default_factory=dict)

    def do_before(self, module: nn.Module, handler: Before) -> None:
        self.before.setdefault(module, []).append(handler)

    def do_after(self, module: nn.Module, handler: After) -> None:
        self.after.setdefault(module, []).append(handler)

    def wants(self, points: Iterable[Point]) -> bool:
        return any(point in self.actions for point in points)


@dataclass(frozen=True, eq=False)
class Plan:
    """Record these sites, apply these edits, stop there: resolved once, nothing left to guess. Prints what it does."""

    record: tuple[tuple[Site, Point], ...]
    edits: tuple[tuple[Site, Point, Edit], ...]
    stop: bool
    """end the run once every recorded site has fired"""
    program: Program = field(repr=False)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites to record."""
        return tuple(site for site, _ in self.record)

    def __str__(self) -> str:
        rows = [("edit", str(site), f"{point.path}, {point.how}: {edit}") for site, point, edit in self.edits]
        rows += [("record", str(site), f"{point.path}, {point.how}") for site, point in self.record]
        width = max((len(site) for _, site, _ in rows), default=0)
        lines = [f"{verb:6}  {site:{width}}  {how}" for verb, site, how in rows]
        return "\n".join([*lines, *(["stop once every recorded site has fired"] if self.stop else [])])


def compile_plan(record: Iterable[tuple[Site, Point]], edits: Iterable[tuple[Site, Point, Edit]], stop: bool) -> Plan:
    """The plan and its program. At one point edits come first, in their order: a recording shows what flowed on."""
    record, edits = tuple(record), tuple(edits)
    program = Program()
    actions: dict[Point, list[Action]] = {}
    for site, point, edit in edits:
        actions.setdefault(point, []).append(Action(site, edit))
    for site, point in record:
        actions.setdefault(point, []).append(Action(site))
    program.actions = {point: tuple(each) for point, each in actions.items()}
    taps: dict[Tap, None] = dict.fromkeys(point.tap for point in actions)
    for tap in sorted(taps, key=lambda tap: tap.order):
        tap.install(program)
    return Plan(record, edits, stop, program)
