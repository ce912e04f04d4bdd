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

    def __init__(self, actions: "Mapping[Point, tuple[Action, ...]]", kept: tuple[Action, ...]) -> None:
        self.actions = actions
        self._places = {action: place for place, action in enumerate(kept)}
        self._program = Program(actions=dict(actions))
        self._taken: dict[nn.Module, Views] = {}
        self._late: dict[nn.Module, list[Before]] = {}
        self._returned: dict[nn.Module, Views] = {}
        self._last: dict[nn.Module, list[After]] = {}

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

    def view_returned(self, module: nn.Module, point: "Point", handler: After, as_is: bool = True) -> None:
        """`handler` shows what the module returns at `point`; `as_is`, with nothing done to it."""
        self._returned.setdefault(module, []).append((point, handler))
        if not as_is:
            self._program.after.setdefault(module, [])  # whose hook is given keyword arguments too

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
            if module in program.after:
                program.after[module] += self._ordered(views)
            else:
                program.out[module] = self._ordered(views)
                self._give_slot(module, views)
        for module, handlers in self._last.items():
            held = program.after if module in program.after else program.out
            held.setdefault(module, []).extend(handlers)
            program.slots.pop(module, None)
        return program

    def _give_slot(self, module: nn.Module, views: Views) -> None:
        actions = self.actions[views[0][0]]
        if len(views) == len(actions) == 1 and actions[0].simple and actions[0].site.call in (None, "*"):
            self._program.slots[module] = self._places[actions[0]]

    def _ordered(self, views: Views) -> list[Any]:
        edited = [view for view in views if any(action.edit for action in self.actions[view[0]])]
        others = [handler for view in views if view not in edited for handler in view[1:]]
        if len(edited) == 1:
            return [edited[0][1], *others]
        return [
            *(_Part(handler, edits=True) for _, handler in edited),
            *(_Part(handler, edits=False) for _, handler in edited),
            *others,
        ]


class _Part:
    """A handler that does only the edits of its point, or only the rest."""

    def __init__(self, handler: Callable[..., Any], edits: bool) -> None:
        self.__self__ = getattr(handler, "__self__", None)
        self._handler, self._edits = handler, edits

    def __call__(self, run: Any, *given: Any) -> Any:
        run.edits_only = self._edits
        try:
            return self._handler(run, *given)
        finally:
            run.edits_only = None


def built(actions: "Mapping[Point, tuple[Action, ...]]", kept: tuple[Action, ...]) -> Program:
    """The program of `actions`, of which `kept` are the recordings in the plan's order."""
    building = Building(actions, kept)
    taps = dict.fromkeys(point.tap for point in actions)
    for tap in taps:
        tap.install(building)
    return building.finished()
