"""What the parts of a torch module are, and what one run sees of each: the material of a tree."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from darklantern.models.on_torch.points import Axes
from darklantern.models.on_torch.ports import Catalogue
from darklantern.models.on_torch.ports.modules import argument, first_member, get_member
from darklantern.models.on_torch.program import Program
from darklantern.models.on_torch.running import Run
from darklantern.models.tree import Part, Seen, Shape

_NEVER_CALLED = (nn.ModuleList, nn.ModuleDict)


class Survey:
    """Notes the shapes at every module of a run; copies no value."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._axes = {
            module: (catalogue.point(path, "in", "").axes, catalogue.point(path, "out", "").axes)
            for path, module in reversed(list(catalogue.modules.items()))
        }
        self.calls: dict[nn.Module, list[Seen]] = {}

    def joined(self, program: Program) -> Program:
        """`program`, watched."""
        made = program.joined()
        for module in self._axes:
            made.after[module] = [*program.after.get(module, ()), self._after]
        return made

    def _after(self, _: Run, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        before, after = self._axes[module]
        taken = argument(module, "", args, kwargs)[1]
        given = output if isinstance(output, Tensor) else get_member(output, first_member(output))
        seen = Seen(_shape(taken, before), _shape(given if isinstance(given, Tensor) else output, after))
        self.calls.setdefault(module, []).append(seen)
        return output


def parts(catalogue: Catalogue, shown: Mapping[str, str], survey: Survey | None) -> Part:
    """The model as nested parts. `shown` has each native path's name; with a survey, what that saw."""
    layout = _Layout(catalogue.modules, shown)

    def made(path: str) -> Part:
        module = catalogue.modules[path]
        return Part(
            shown[path],
            path,
            type(module).__name__,
            sum(each.numel() for each in module.parameters() if not isinstance(each, UninitializedParameter)),
            tuple(catalogue.ports(path)),
            tuple(made(child) for child in layout.below[path]),
            None if survey is None else tuple(survey.calls.get(module, ())),
            layout.notes[path],
        )

    return made("")


class _Layout:
    """Which part stands below which, by canonical name, and what is shared."""

    def __init__(self, modules: Mapping[str, nn.Module], shown: Mapping[str, str]) -> None:
        self.below: dict[str, list[str]] = {}
        """native path → those of the parts right below it"""
        self.notes: dict[str, str] = {}
        self._first: dict[nn.Module, str] = {}
        self._owners: dict[int, str] = {}
        told: set[str] = set()
        """paths of which all is said elsewhere"""
        at: dict[str, str] = {}
        for path, module in modules.items():
            if path and path.rpartition(".")[0] in told:
                told.add(path)
                continue
            if path and isinstance(module, _NEVER_CALLED) and type(module).forward is nn.Module.forward:
                continue
            name = shown[path].lstrip("/")
            if path:
                self.below[at[_above(name, at)]].append(path)
            at.setdefault(name, path)
            self.below[path] = []
            self.notes[path] = self._note(module, shown[path])
            if self.notes[path].startswith("same"):
                told.add(path)

    def _note(self, module: nn.Module, name: str) -> str:
        if module in self._first and any(True for _ in module.parameters()):
            return f"same as {self._first[module]}"
        self._first.setdefault(module, name)
        own = list(module.parameters(recurse=False))
        owners = {self._owners.setdefault(id(each), name) for each in own}
        if any(isinstance(each, UninitializedParameter) for each in own):
            return "no weights yet"
        return f"weights of {' '.join(sorted(owners))}" if owners and name not in owners else ""


def _above(name: str, known: Mapping[str, str]) -> str:
    """The nearest part in the tree under whose name `name` lies."""
    while name:
        name = name.rpartition(".")[0]
        if name in known:
            break
    return name


def _shape(value: Any, axes: Axes) -> Shape | str:
    if not isinstance(value, Tensor):
        return "nothing" if value is None else type(value).__name__
    return tuple(zip(axes(value), value.shape, strict=True))
