"""A plan, and the program that it becomes on one trace: what happens at each place while the model runs.

A step is everything of one kind that happens at one point: an edit, or a recording, in one iteration of the loops
around it or in several. Its form (`Step`) is what a compiled function is made for; which iterations, which indices
and with what arrays goes in when it runs (`Numbers`). So another layer, head or direction compiles nothing.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np

from darklantern.models.edits import Edit
from darklantern.models.on_jax.choosing import Choice, Form
from darklantern.models.on_jax.outline import Address, Loop
from darklantern.models.on_jax.points import Point
from darklantern.models.shim import convert, framework_of
from darklantern.models.sites import Site

EDIT, RECORD, SHIFT = "edit", "record", "shift"


@dataclass(frozen=True, eq=False)
class Visit:
    """One passing of a value through a point: in which iterations of the loops around it."""

    point: Point
    at: tuple[int | None, ...]
    """for each loop its iteration; None for all of them"""

    @property
    def is_every(self) -> bool:
        return any(number is None for number in self.at)

    @property
    def again(self) -> tuple[Loop, ...]:
        """The loops of which all iterations are meant."""
        return tuple(loop for loop, number in zip(self.point.loops, self.at, strict=True) if number is None)

    @property
    def count(self) -> int | None:
        """How many iterations these are; None where a loop does not say."""
        lengths = [loop.length for loop in self.again]
        return None if any(length is None for length in lengths) else prod(lengths)  # type: ignore[arg-type]

    def each(self, turn: int | None = None) -> "Iterator[Visit]":
        """Each of them by itself; of a loop that does not say how often it runs, iteration `turn`."""
        numbers = [
            ((turn,) if loop.length is None else range(loop.length)) if at is None else (at,)
            for loop, at in zip(self.point.loops, self.at, strict=True)
        ]
        return (Visit(self.point, at) for at in product(*numbers))

    def when(self, last: bool) -> tuple[float, ...]:
        """When the value passes, in the order of a run: the first time, or the last."""
        turns: dict[Address, float] = {}
        for loop, number in zip(self.point.loops, self.at, strict=True):
            turn = (float("inf") if last else 0) if number is None else number
            turns[loop.address] = -turn if loop.reverse else turn
        return self.point.place.when(turns)


@dataclass(frozen=True, eq=False)
class Action:
    """What a plan asks for at one visit."""

    site: Site
    visit: Visit
    kind: str
    choice: Choice
    shape: tuple[int, ...]
    """of what is chosen"""
    axes: tuple[str, ...]
    """of what is chosen"""
    edit: Edit | None = None


@dataclass(eq=False)
class Step:
    """Actions at one point that one piece of compiled code does."""

    point: Point
    kind: str
    form: Form
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    edit: Edit | None
    operands: int
    """how many arrays the edit takes"""
    actions: list[Action] = field(default_factory=list)
    every: bool = False
    """in all iterations alike, one action; a recording then keeps each"""

    @property
    def loops(self) -> tuple[Loop, ...]:
        return self.point.loops

    @cached_property
    def total(self) -> int | None:
        """How many iterations there are; None where a loop does not say."""
        lengths = [loop.length for loop in self.loops]
        return None if any(length is None for length in lengths) else prod(lengths)  # type: ignore[arg-type]

    @cached_property
    def covers(self) -> bool:
        """It does something in each iteration, in their order."""
        return self.every or [_flat(action) for action in self.actions] == list(range(self.total or 0))

    @property
    def flagged(self) -> bool:
        """Whether it is known only after a run that it ran."""
        return self.point.branch or self.total is None

    @property
    def key(self) -> Hashable:
        """What compiled code depends on."""
        edit = None if self.edit is None else (self.edit.key, self.operands)
        return self.point, self.kind, self.form, edit, len(self.actions), self.covers, self.every

    def numbers(self) -> dict[str, Any]:
        """What goes in when it runs: a table from iterations to actions, indices, the edit's arrays."""
        made: dict[str, Any] = {"choice": _stacked([action.choice.numbers for action in self.actions])}
        if self.edit is not None:
            made["operands"] = _stacked([_arrays(action.edit) for action in self.actions])
        if self.loops and not self.covers:
            if self.total is None:
                made["at"] = np.asarray([action.visit.at for action in self.actions], np.int32)
            else:
                table = np.full(self.total, len(self.actions), np.int32)
                for number, action in enumerate(self.actions):
                    table[_flat(action)] = number
                made["table"] = table
        return made


def flat(loops: Sequence[Loop], at: Sequence[Any]) -> Any:
    """The number of an iteration among all: calls in the order of a run, layers in that of their numbers."""
    found: Any = 0
    for loop, number in zip(loops, at, strict=True):
        assert loop.length is not None
        turn = loop.length - 1 - number if loop.reverse and not loop.layers else number
        found = found * loop.length + turn
    return found


def _flat(action: Action) -> int | None:
    at, loops = action.visit.at, action.visit.point.loops
    if action.visit.is_every or any(loop.length is None for loop in loops):
        return None
    found: int = flat(loops, at)
    return found


def _arrays(edit: Edit | None) -> tuple[Any, ...]:
    """An edit's arrays, as arrays of JAX or NumPy."""
    if edit is None:
        return ()
    return tuple(convert(each, "jax") if framework_of(each) == "torch" else each for each in edit.operands)


def _stacked(rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Arrays of several actions on a first axis; of one, without it."""
    if len(rows) == 1:
        return rows[0]
    import jax.numpy as jnp

    return tuple(
        np.stack(column) if all(isinstance(each, np.ndarray) for each in column) else jnp.stack(column)
        for column in zip(*rows, strict=True)
    )


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in order, and where the model's own computation ends."""

    steps: tuple[Step, ...]
    stop: bool
    """nothing behind the last recording is needed"""

    @cached_property
    def key(self) -> Hashable:
        return tuple(step.key for step in self.steps), self.stop, tuple(self.limits.items())

    def bare(self) -> "Program":
        """This program without the arrays of its edits: what compiled code may keep alive."""
        return replace(self, steps=tuple(map(_bare, self.steps)))

    def reads(self) -> Hashable:
        """What users' own functions in it read now."""
        return tuple(step.edit.reads() for step in self.steps if step.edit is not None and step.edit.reads)

    @cached_property
    def limits(self) -> Mapping[Loop, tuple[int, int]]:
        """Where a run stops, the first and the last iteration that it needs of each scan."""
        found: dict[Loop, tuple[int, int]] = {}
        if not self.stop:
            return found
        for step in self.steps:
            for action in step.actions if step.kind == RECORD else ():
                for loop, number in zip(step.loops, action.visit.at, strict=True):
                    whole = (0, (loop.length or 1) - 1)
                    low, high = (number, number) if number is not None else whole
                    before = found.get(loop, (low, high))
                    found[loop] = (min(low, before[0]), max(high, before[1]))
        return found


def _bare(step: Step) -> Step:
    edit = None if step.edit is None else replace(step.edit, operands=())
    return replace(step, edit=edit, actions=[replace(action, edit=edit) for action in step.actions])


def program(actions: Sequence[Action], stop: bool) -> Program:
    """Actions as steps: alike ones at one point, in different iterations, are one. Edits stay in their order."""
    steps: list[Step] = []
    for action in actions:
        step = next((each for each in _open(steps, action)), None)
        if step is None:
            edit = action.edit
            step = Step(
                action.visit.point, action.kind, action.choice.form, action.axes, action.shape, edit,
                len(_arrays(edit)), every=action.visit.is_every,
            )  # fmt: skip
            steps.append(step)
        step.actions.append(action)
    return Program(tuple(steps), stop)


def _open(steps: Sequence[Step], action: Action) -> Sequence[Step]:
    """The step that `action` can join, if there is one: none at its point may come in between."""
    for step in reversed(steps):
        if step.point is not action.visit.point:
            continue
        if _alike(step, action):
            return (step,)
        if any(_same_visit(each, action) for each in step.actions):
            return ()
    return ()


def _alike(step: Step, action: Action) -> bool:
    if step.every or action.visit.is_every or not step.loops:
        return False
    if (step.kind, step.form, step.shape) != (action.kind, action.choice.form, action.shape):
        return False
    if any(_same_visit(each, action) for each in step.actions):
        return False
    if step.edit is None or action.edit is None:
        return step.edit is action.edit
    shapes = [[(each.shape, each.dtype) for each in _arrays(edit)] for edit in (step.edit, action.edit)]
    return step.edit.key is not None and step.edit.key == action.edit.key and shapes[0] == shapes[1]


def _same_visit(one: Action, other: Action) -> bool:
    return one.visit.is_every or other.visit.is_every or one.visit.at == other.visit.at
