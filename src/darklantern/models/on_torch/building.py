"""From a plan's actions to its program: which tap of a module acts when.

A tap either computes something beside a module, or is a view of what the module takes or returns. Several views can
show one value under several names (`q_proj:out` and `q_pre`): those that edit act first, so that a recording
shows what flowed on, whichever name it was asked for by.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from darklantern.models.on_torch.program import Action, After, Around, Before, Program

if TYPE_CHECKING:
    from darklantern.models.on_torch.placing import Tapped
    from darklantern.models.on_torch.points import Point

Views = list[tuple["Point", Callable[..., Any]]]


class Building:
    """A program being built: what taps' `install` adds to."""

    def __init__(
        self, actions: "Mapping[Point, tuple[Action, ...]]", changes: tuple[Action, ...], kept: tuple[Action, ...]
    ) -> None:
        self.actions = actions
        self._order = {action: number for number, action in enumerate(changes, 1)}
        self._places = {action: place for place, action in enumerate(kept)}
        self._program = Program(actions=dict(actions))
        self._taken: dict[nn.Module, Views] = {}
        self._late: dict[nn.Module, list[Before]] = {}
        self._returned: dict[nn.Module, Views] = {}
        self._last: dict[nn.Module, list[After]] = {}
        self._parts: set[Point] = set()
        self._told: set[nn.Module] = set()
        """modules whose views want keyword arguments, which the hook of `after` is given"""

    def do_before(self, module: nn.Module, handler: Before, late: bool = False) -> None:
        """`handler` sees the module's arguments; if `late`, as the edits of them leave them."""
        held = self._late if late else self._program.before
        held.setdefault(module, []).append(handler)

    def do_after(self, module: nn.Module, handler: After) -> None:
        """`handler` computes beside the module: it sees what the module itself returned."""
        self._program.after.setdefault(module, []).append(handler)

    def view_taken(self, module: nn.Module, point: "Point", handler: Before) -> None:
        """`handler` shows an argument of the module at `point`."""
        self._taken.setdefault(module, []).append((point, handler))

    def view_returned(
        self, module: nn.Module, point: "Point", handler: After, as_is: bool = True, whole: bool = True
    ) -> None:
        """`handler` shows what the module returns at `point`; `as_is`, with nothing done to it; `whole`, all of it."""
        self._returned.setdefault(module, []).append((point, handler))
        if not whole:
            self._parts.add(point)
        if not as_is:
            self._told.add(module)

    def do_last(self, module: nn.Module, handler: After) -> None:
        """`handler` sees what the module returns as all views of it leave it."""
        self._last.setdefault(module, []).append(handler)

    def do_around(self, module: nn.Module, surround: Around) -> None:
        """`surround` is called in place of the module's forward, and given it."""
        held = self._program.around.setdefault(module, [])
        if surround not in held:
            held.append(surround)

    def tap_kernel(self, module: nn.Module, own: Any, tapped: "Tapped | None" = None) -> None:
        """The attention kernel of `module` hands what passes to `own`; `tapped` has to be in place for that."""
        self._program.kernels[module] = own
        if tapped is not None:
            self._program.tapped[tapped] = None

    def finished(self) -> Program:
        program = self._program
        for module, views in self._taken.items():
            program.before.setdefault(module, []).extend(self._ordered(views))
        for module, handlers in self._late.items():
            program.before.setdefault(module, []).extend(handlers)
        for module, views in self._returned.items():
            if module in self._told:
                program.after.setdefault(module, []).extend(self._ordered(views))
            else:
                program.out[module] = self._ordered(views)
                self._give_slot(module, views)
        for module, handlers in self._last.items():
            held = program.after if module in self._told else program.out
            held.setdefault(module, []).extend(handlers)
            program.slots.pop(module, None)
        return program

    def _give_slot(self, module: nn.Module, views: Views) -> None:
        actions = self.actions[views[0][0]]
        if views[0][0] in self._parts:
            return
        if len(views) == len(actions) == 1 and actions[0].simple and actions[0].site.call in (None, "*"):
            self._program.slots[module] = self._places[actions[0]]

    def _ordered(self, views: Views) -> list[Any]:
        """Edits in the order of the plan, under whichever names, then everything else."""
        edited = [(point, handler) for point, handler in views if any(each.edit for each in self.actions[point])]
        others = [handler for point, handler in views if (point, handler) not in edited]
        if len(edited) <= 1:
            return [*(handler for _, handler in edited), *others]
        edits = [(place, view) for view in edited for each in self.actions[view[0]] if (place := self._order.get(each))]
        parts = [
            Part(view[1], frozenset(each for each in self.actions[view[0]] if self._order.get(each) in group), False)
            for view, group in _together(sorted(edits, key=lambda pair: pair[0]))
        ]
        rest = [
            Part(handler, frozenset(each for each in self.actions[point] if not each.edit), True)
            for point, handler in edited
        ]
        return [*parts, *rest, *others]


class Part:
    """A handler that does only some of the actions at its point; the last part also counts the call."""

    def __init__(self, handler: Callable[..., Any], actions: frozenset[Action], last: bool) -> None:
        self.__self__ = getattr(handler, "__self__", None)
        self._handler, self.actions, self.last = handler, actions, last

    def __call__(self, run: Any, *given: Any) -> Any:
        run.part = self
        try:
            return self._handler(run, *given)
        finally:
            run.part = None


def _together(edits: "list[tuple[int, tuple[Point, Any]]]") -> "list[tuple[tuple[Point, Any], set[int]]]":
    """Edits in order, neighbours under one name as one."""
    found: list[tuple[tuple[Point, Any], set[int]]] = []
    for place, view in edits:
        if found and found[-1][0] is view:
            found[-1][1].add(place)
        else:
            found.append((view, {place}))
    return found


def built(
    actions: "Mapping[Point, tuple[Action, ...]]", changes: tuple[Action, ...], kept: tuple[Action, ...]
) -> Program:
    """The program of `actions`: of `changes`, the edits in the plan's order, and `kept`, the recordings in theirs."""
    building = Building(actions, changes, kept)
    taps = dict.fromkeys(point.tap for point in actions)
    for tap in taps:
        tap.install(building)
    return building.finished()
