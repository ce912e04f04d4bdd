"""A plan, resolved once, and the program that it becomes: what each module has to do while a run lasts."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import nn

from darklantern.errors import SiteError
from darklantern.models.edits import Edit
from darklantern.models.on_torch.points import Point
from darklantern.models.sites import Each, Several, Site, Span

if TYPE_CHECKING:
    from darklantern.models.on_torch.placing import Tapped

Before = Callable[..., tuple[tuple[Any, ...], dict[str, Any]] | None]
"""(run, module, args, kwargs) → the args and kwargs to go on with, or None"""
After = Callable[..., Any]
"""(run, module, args, kwargs, output) → the output to go on with"""
Around = Callable[..., Any]
"""(run, the module's own forward, *args, **kwargs) → the output"""


@dataclass(frozen=True, eq=False)
class Action:
    """What happens at a point: an edit, or a recording."""

    site: Site
    edit: Edit | None = None
    grad: bool = False
    """the gradient with respect to the value here is asked for"""
    named: bool = True
    """asked for by name, and not as one of all that `**` means: then it may also not be there"""
    simple: bool = field(init=False)
    """a recording of the whole value, the common case"""
    changes: bool = field(init=False)
    """whether the model's path has to lead through the value, which a recording alone does not need"""
    keeps_value: bool = field(init=False)
    """whether the value stays bitwise the same"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "simple", self.edit is None and not self.grad and not self.site.select)
        object.__setattr__(self, "changes", self.edit is not None or self.grad)
        object.__setattr__(self, "keeps_value", self.edit is None or self.edit.keeps_value)

    def at(self, call: int) -> bool:
        """Whether the module's call number `call` is meant."""
        return self.site.call is None or self.site.call == "*" or self.site.call == call


@dataclass(eq=False)
class Program:
    """What each module does, in order; made from a plan, the same for all its runs."""

    before: dict[nn.Module, list[Before]] = field(default_factory=dict)
    after: dict[nn.Module, list[After]] = field(default_factory=dict)
    out: dict[nn.Module, list[After]] = field(default_factory=dict)
    """handlers of the same kind that come last and need no keyword arguments"""
    slots: dict[nn.Module, int] = field(default_factory=dict)
    """modules of which nothing is asked but to record the whole output, by the recording's place in the plan"""
    kernels: dict[nn.Module, Any] = field(default_factory=dict)
    """attention modules whose kernel is tapped"""
    only: dict[nn.Module, int] = field(default_factory=dict)
    """attention modules of which only one head runs"""
    around: dict[nn.Module, list[Around]] = field(default_factory=dict)
    """what surrounds modules' `forward`, outermost first"""
    tapped: "dict[Tapped, None]" = field(default_factory=dict)
    """what else is tapped while a run lasts"""
    actions: dict[Point, tuple[Action, ...]] = field(default_factory=dict)

    def joined(self) -> "Program":
        """A copy to which one run may add its own."""
        return replace(
            self,
            before=dict(self.before),
            after=dict(self.after),
            out=dict(self.out),
            slots={},
            around=dict(self.around),
        )


@dataclass(frozen=True, eq=False)
class Plan:
    """Record these sites, apply these edits, stop there: resolved once, nothing left to guess. Prints what it does."""

    record: tuple[tuple[Site, Point], ...]
    """the sites to record, in the order asked for"""
    edits: tuple[tuple[Site, Point, Edit], ...]
    stop: bool
    """end the run once every recorded site has fired"""
    program: Program = field(repr=False)
    actions: tuple[Action, ...] = field(repr=False)
    """the recordings, as in `record`"""
    changes: tuple[Action, ...] = field(repr=False)
    """the edits, as in `edits`"""
    leading: Mapping[str, nn.Module] = field(repr=False)
    """the modules that lead to the sites, which must not be compiled"""

    @cached_property
    def outputs(self) -> "list[tuple[Site, Point]] | None":
        """What it records, if that is nothing but whole outputs, each of a module's one call."""
        plain = not self.changes and all(action.simple and action.site.call is None for action in self.actions)
        return list(self.record) if plain and len(self.program.slots) == len(self.record) else None

    @cached_property
    def by_step(self) -> Site | None:
        """A site that names decoding steps, if there is one."""
        return next((each.site for each in (*self.changes, *self.actions) if "step" in dict(each.site.select)), None)

    @cached_property
    def from_the_end(self) -> Site | None:
        """A site whose positions count from the end, or reach to it, if there is one."""
        return next((each.site for each in (*self.changes, *self.actions) if _from_the_end(each.site)), None)

    def refuse_lengths(self, own: Sequence[int]) -> None:
        """Raises SiteError for an edit that puts other examples' padding onto tokens, `own` many in each example."""
        for site, _, edit in self.edits:
            if edit.lengths and len(edit.lengths) == len(own) and list(edit.lengths) != list(own):
                raise SiteError(
                    f"{edit} at {site}: its examples have {list(edit.lengths)} tokens, those of this run {list(own)}, "
                    "so some would get padding",
                    hint="pin positions that correspond, as in [pos=-1]; batch(prompts, align=...) checks lengths",
                )

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


def compile_plan(
    record: Iterable[tuple[Site, Point]],
    edits: Iterable[tuple[Site, Point, Edit]],
    stop: bool,
    leading: Mapping[str, nn.Module],
    grad: Collection[Site] = (),
    found: Collection[Site] = (),
) -> Plan:
    """The plan and its program. At one point edits come first, in their order: a recording shows what flowed on.

    `grad` are those of the recorded sites whose gradients are asked for too, `found` those that `**` has found.
    """
    from darklantern.models.on_torch.building import built

    record, edits = tuple(record), tuple(edits)
    changes = tuple(Action(site, edit) for site, _, edit in edits)
    kept = tuple(Action(site, grad=site in grad, named=site not in found) for site, _ in record)
    points = [*(point for _, point, _ in edits), *(point for _, point in record)]
    actions: dict[Point, list[Action]] = {}
    for action, point in zip((*changes, *kept), points, strict=True):
        actions.setdefault(point, []).append(action)
    program = built({point: tuple(each) for point, each in actions.items()}, changes, kept)
    return Plan(record, edits, stop, program, kept, changes, leading)


def _from_the_end(site: Site) -> bool:
    pin = dict(site.select).get("pos", 0)
    if isinstance(pin, Span) and pin.stop is None:
        return True
    ends = pin if isinstance(pin, Span | Several | Each) else (pin,)
    return any(isinstance(end, int) and end < 0 for end in ends)
