"""A plan: what is asked for, resolved once; and the actions and steps that it becomes on one trace."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp

from darklantern.errors import SiteError
from darklantern.models.edits import Edit
from darklantern.models.on_jax.choosing import Choice
from darklantern.models.on_jax.naming import Naming, Target
from darklantern.models.on_jax.program import EDIT, RECORD, SHIFT, Action, Program, Visit, program
from darklantern.models.selecting import ALL, select
from darklantern.models.sites import Site

Lengths = Sequence[int] | None


@dataclass(frozen=True, eq=False)
class Plan:
    """Record these sites, apply these edits, stop there. Prints what it does."""

    record: tuple[Site, ...]
    """in the order asked for"""
    edits: tuple[tuple[Site, Edit], ...]
    stop: bool
    grad: frozenset[Site]
    """of which the gradient is asked for"""
    named: frozenset[Site]
    """those asked for by name, and not as one of all that `**` means: these must be there"""
    how: Mapping[Site, str] = field(repr=False)
    prepared: dict[Any, "Prepared"] = field(default_factory=dict, repr=False)
    """by trace, and by the lengths of the examples"""

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites to record."""
        return self.record

    def __str__(self) -> str:
        rows = [("edit", str(site), f"{self.how[site]}: {edit}") for site, edit in self.edits]
        rows += [("record", str(site), self.how[site]) for site in self.record]
        width = max((len(site) for _, site, _ in rows), default=0)
        lines = [f"{verb:6}  {site:{width}}  {how}" for verb, site, how in rows]
        return "\n".join([*lines, *(["stop once every recorded site has fired"] if self.stop else [])])


@dataclass(frozen=True, eq=False)
class Row:
    """One recorded site: its actions, and how their values become one."""

    site: Site
    actions: tuple[Action, ...]
    axes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A plan on one trace."""

    program: Program
    rows: tuple[Row, ...]
    missed: Mapping[Site, str]
    place: Mapping[Action, tuple[int, int]]
    """each action's step, and its number there"""
    compiled: dict[Hashable, Callable[..., Any]] = field(default_factory=dict)
    """what runs it, by the axes along which several runs are one, and by what users' functions in it read"""

    @property
    def order(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Of each row, the step of each of its actions, and its number there."""
        return tuple(tuple(self.place[action] for action in row.actions) for row in self.rows)


def prepared(plan: Plan, naming: Naming, lengths: Lengths) -> Prepared:
    """What `plan` does on a trace. Raises SiteError for a site that does not fire there as the plan says."""
    actions: list[Action] = []
    for site, edit in plan.edits:
        for visit in _calls(naming, site):
            actions.append(_action(site, visit, EDIT, lengths, edit))
    rows: list[Row] = []
    missed: dict[Site, str] = {}
    for site in plan.record:
        try:
            visits = _calls(naming, site)
            made = [_action(site, visit, RECORD, lengths) for visit in visits]
        except SiteError as error:
            if site in plan.named:
                raise
            missed[site] = error.message
            continue
        if site in plan.grad:
            actions += [_shift(_action(site, visit, SHIFT, lengths)) for visit in visits]
        actions += made
        rows.append(Row(site, tuple(made), _axes(site, made)))
    if missed and not rows:
        raise SiteError(f"nothing to record: {next(iter(missed.values()))}", hint="look at model.tree(inputs)")
    if plan.stop:
        _refuse_behind(actions)
    built = program(actions, plan.stop)
    place = {action: (number, at) for number, step in enumerate(built.steps) for at, action in enumerate(step.actions)}
    return Prepared(built, tuple(rows), missed, place)


def _refuse_behind(actions: Sequence[Action]) -> None:
    """Raises SiteError for an edit behind the last recording, where the run has stopped."""
    last = max((action.visit.when(last=True) for action in actions if action.kind == RECORD), default=())
    for action in actions:
        if action.kind == EDIT and action.visit.when(last=False) > last:
            raise SiteError(
                f"the run never reached {action.site}: it stops once every recorded site has fired",
                hint="leave stop out, or the edit",
            )


def _calls(naming: Naming, site: Site) -> tuple[Visit, ...]:
    ((_, target),) = naming.resolve(site)
    return target.call(site)


def _action(site: Site, visit: Visit, kind: str, lengths: Lengths, edit: Edit | None = None) -> Action:
    point = visit.point
    if edit is not None and point.apart:
        raise SiteError(
            f"no edit at {site}: it lies in a branch or a loop of a shard_map that not all devices take alike, and an "
            "edit, which gets all devices' pieces, would wait for them forever",
            hint="edit behind the branch or the loop, where all devices come; recordings and gradients work here",
        )
    shape = tuple(point.aval.shape)
    chosen = select(site, point.axes, shape, lengths, some=True, mixes=bool(edit and edit.mixes))
    choice = Choice.of(chosen)
    return Action(site, visit, kind, choice, _shape(shape, chosen), chosen.remaining, edit)


def _shift(action: Action) -> Action:
    if not jnp.issubdtype(action.visit.point.aval.dtype, jnp.inexact):
        raise SiteError(
            f"{action.site} holds whole numbers, {action.visit.point.aval.dtype}, of which there is no gradient",
            hint="ask for embed:out, for instance",
        )
    return action


def _shape(shape: tuple[int, ...], chosen: Any) -> tuple[int, ...]:
    """Of the chosen part of a value."""
    return tuple(
        size if at == ALL else len(chosen.numbers(axis, size))
        for axis, at, size in zip(chosen.axes, chosen.index, shape, strict=True)
        if axis in chosen.remaining
    )


def _axes(site: Site, made: Sequence[Action]) -> tuple[str, ...]:
    return ("call", *made[0].axes) if site.call == "*" else made[0].axes


def resolved(naming: Naming, names: Sequence[str | Site]) -> list[tuple[Site, Target, bool]]:
    """The sites that names mean, each with whether it was asked for by its own name."""
    return [
        (site, target, "**" not in (name.path if isinstance(name, Site) else name.partition(":")[0]))
        for name in names
        for site, target in naming.resolve(name)
    ]
