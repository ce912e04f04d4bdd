"""`in` and `out` of any module, and the members of what it takes and returns."""

import inspect
from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Any

from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.building import Building
from darklantern.models.on_torch.points import Axes, Point
from darklantern.models.on_torch.running import Run

_OUTPUTS = ("logits", "last_hidden_state", "hidden_states")
"""what `out` is, in a model's output that has names"""


class InTap:
    """The argument of a module: the first, or the one that `member` names by position or keyword."""

    def __init__(self, module: nn.Module, member: str, port: str, path: str, how: str, axes: Axes) -> None:
        self.module, self.member = module, member
        self.point = Point(self, port, module, path, how, axes)

    def install(self, building: Building) -> None:
        building.view_taken(self.module, self.point, self._before)
        if getattr(self.module, "inplace", False):
            building.do_after(self.module, self._wrote)

    def _before(self, run: Run, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key, value = argument(module, self.member, args, kwargs)
        if not isinstance(value, Tensor):
            if run.excused(self.point):
                return None
            raise _no_tensor(self.point, value, [*map(str, range(len(args))), *kwargs])
        new = run.visit(self.point, value)
        if new is value:
            return None
        if getattr(module, "inplace", False):
            run.notes[self] = value, new
        else:
            run.hands_on(self.point, new)
        return replaced(key, new, args, kwargs)

    def _wrote(self, run: Run, _: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        """What the module wrote into its argument stands in the model's own tensor too, as others may read that."""
        value, new = run.notes.pop(self, (None, None))
        if value is not None:
            value.copy_(new)
        return output


class OutTap:
    """What a module returns: the tensor itself, or the part of it that `member` names."""

    def __init__(self, module: nn.Module, member: str, port: str, path: str, how: str, axes: Axes) -> None:
        self.module, self.member = module, member
        self.point = Point(self, port, module, path, how, axes)

    def install(self, building: Building) -> None:
        building.view_returned(self.module, self.point, self._after, whole=not self.member)

    def _after(self, run: Run, _: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        if isinstance(output, Tensor) and not self.member:
            return run.visit(self.point, output)
        key = self.member or first_member(output)
        value = get_member(output, key)
        if not isinstance(value, Tensor):
            if run.excused(self.point):
                return output
            raise _no_tensor(self.point, value if self.member else output, _members(output))
        new = run.visit(self.point, value)
        return output if new is value else with_member(output, key, new)


def argument(module: nn.Module, member: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int | str, Any]:
    """Where the argument stands, and what it is now."""
    if member.isdigit():
        return int(member), args[int(member)] if int(member) < len(args) else None
    if member:
        if member in kwargs:
            return member, kwargs[member]
        names = _parameters(module)
        place = names.index(member) if member in names else len(args)
        return place, args[place] if place < len(args) else None
    if args:
        return 0, args[0]
    first = next((name for name in _parameters(module) if name in kwargs), next(iter(kwargs), ""))
    return first, kwargs.get(first)


def first_argument(module: nn.Module, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The module's first argument by its signature, in whatever order the caller wrote its keywords."""
    _, value = argument(module, "", args, kwargs)
    if not isinstance(value, Tensor):
        came = "nothing" if value is None else type(value).__name__
        raise SiteError(
            f"{path}, a {type(module).__name__}, takes {came} as its first argument, not a tensor",
            hint=f"its arguments: {', '.join([*map(str, range(len(args))), *kwargs]) or 'none'}; "
            f"one of them can be recorded by its name, {path}:in.name",
        )
    return value


def replaced(
    key: int | str, new: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with the one at `key` replaced."""
    if isinstance(key, int):
        return (*args[:key], new, *args[key + 1 :]), kwargs
    return args, {**kwargs, key: new}


def _parameters(module: nn.Module) -> list[str]:
    # the class's: on the instance somebody's wrapper may stand, ours included
    return list(inspect.signature(type(module).forward).parameters)[1:]


def first_member(output: Any) -> str:
    """The member that `out` means."""
    if isinstance(output, Mapping) or is_dataclass(output):
        return next((name for name in _OUTPUTS if isinstance(get_member(output, name), Tensor)), "")
    return "0"


def get_member(output: Any, key: str) -> Any:
    if isinstance(output, Mapping):
        return output.get(key)
    if isinstance(output, tuple | list) and key.isdigit():
        return output[int(key)] if int(key) < len(output) else None
    return getattr(output, key, None) if key else None


def with_member(output: Any, key: str, new: Tensor) -> Any:
    """`output` with one member replaced; a new object of the same type."""
    if isinstance(output, Mapping):
        return type(output)({**output, key: new})  # type: ignore[call-arg]  # every mapping that models return takes one
    if isinstance(output, tuple | list):
        if not key.isdigit():
            return output._replace(**{key: new})  # type: ignore[union-attr]  # only a named tuple has such a key
        parts = [new if i == int(key) else part for i, part in enumerate(output)]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    if is_dataclass(output) and not isinstance(output, type):
        return replace(output, **{key: new})
    raise SiteError(
        f"cannot put a value back into {type(output).__name__}", hint="edit a module that returns a tensor or a tuple"
    )


def _members(output: Any) -> list[str]:
    if isinstance(output, Mapping):
        return [str(name) for name in output]
    if isinstance(output, tuple | list):
        return [*map(str, range(len(output))), *getattr(output, "_fields", ())]
    return list(getattr(output, "__dict__", {}))


def _no_tensor(point: Point, value: Any, members: list[str]) -> SiteError:
    named = f"; its members: {', '.join(members)}" if members else ""
    example = f"{point.path}:{point.port.partition('.')[0]}.{members[-1]}" if members else "another module"
    return SiteError(
        f"{point.path}:{point.port} carries {type(value).__name__}, not a tensor{named}", hint=f"try {example}"
    )
