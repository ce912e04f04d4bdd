"""Taking a start: one full run that sees what goes into a block, and one from there that must give the same bits."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.calling import Inputs, arguments
from darklantern.models.edits import Edit
from darklantern.models.on_torch.program import Plan, Program
from darklantern.models.on_torch.restoring import restored
from darklantern.models.on_torch.running import Run
from darklantern.models.on_torch.starting import Start, mapped_inputs
from darklantern.models.on_torch.structure import mapped, strangers, tensors

if TYPE_CHECKING:
    from darklantern.models.on_torch.executing import Executor

Place = tuple[str, tuple[nn.Module, ...]]
"""a block's native path, and the blocks before it"""


def starts(
    executor: "Executor", plan: Plan, inputs: Any, places: Sequence[Place], modules: Mapping[str, nn.Module]
) -> list[Start | SiteError]:
    """A start at each of `places`; in place of one that cannot be had, why. The model is left as it was."""
    tokens = getattr(inputs, "tokens", None)
    inputs = without_cache(executor.module, inputs)
    entrances = [Entrance(modules[path], prefix) for path, prefix in places]
    watched = plan.program
    for entrance in entrances:
        watched = entrance.joined(watched)
    found: list[Start | SiteError] = []
    with restored(executor.module):
        output = executor.go(Run(plan, watched), inputs)
        executor.go(Run(plan), mapped_inputs(inputs, other))
        for (path, _), entrance in zip(places, entrances, strict=True):
            try:
                made = replace(entrance.start(path, inputs, output, tokens), root=executor.module)
                verify(made, executor.go(Run(plan, made.joined(plan.program), made), made))
                found.append(made)
            except SiteError as error:
                found.append(error)
    return found


class Entrance:
    """Sees, in one full run, what goes into a block and what the blocks before it return."""

    def __init__(self, block: nn.Module, prefix: tuple[nn.Module, ...]) -> None:
        self.block, self.prefix = block, prefix
        self.given: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self.stand_in: Any = None
        self.edits: tuple[Edit, ...] = ()
        self.order: list[nn.Module] = []

    def joined(self, program: Program) -> Program:
        """`program`, watched."""
        made = program.joined()
        made.before[self.block] = [self._before, *program.before.get(self.block, ())]
        for module in self.prefix:
            made.out[module] = [*program.out.get(module, ()), self._after]
        return made

    def _before(self, run: Run, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.order.append(module)
        self.edits = tuple(action.edit for action in run.applied if action.edit is not None)
        self.given = (mapped(args, _copy), mapped(kwargs, _copy))

    def _after(self, _: Any, module: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        self.order.append(module)
        self.stand_in = mapped(output, _copy)
        return output

    def start(self, path: str, inputs: Any, output: Any, tokens: Any) -> Start:
        """The Start that this run showed. Raises SiteError for blocks that do not simply run one after the other."""
        if self.given is None:
            raise _refusal(path, "the model never called it with these inputs", "start at a block that runs")
        if self.order != [*self.prefix, self.block]:
            raise _refusal(path, "the blocks before it do not each run once, in their order", "start at another block")
        held = [type(each).__name__ for each in strangers(self.given)]
        if held:
            raise _refusal(path, f"it is given {held[0]}, whose state a start does not hold", "pass use_cache=False")
        return Start(path, inputs, output, self.block, self.prefix, self.given, self.stand_in, tokens, self.edits)


def without_cache(module: nn.Module, inputs: Any) -> Inputs:
    """`inputs` with `use_cache=False` where the model takes that: a cache is state across blocks."""
    args, kwargs = arguments(inputs)
    takes = inspect.signature(type(module).forward).parameters
    # A wrapper, such as an adapter's, hands on what it does not know.
    hands_on = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in takes.values())
    if "use_cache" in takes or (hands_on and hasattr(getattr(module, "config", None), "use_cache")):
        kwargs.setdefault("use_cache", False)
    return Inputs(args, kwargs)


def other(value: Tensor) -> Tensor:
    """Inputs that differ from `value` and are valid where it is: they flush out what a model kept from its last run."""
    if value.dtype == torch.bool or not value.numel():
        return value
    if value.is_floating_point() or value.is_complex():
        return value.flip(-1) * 0.5 + 0.25
    # Only numbers that stand there: what others mean, or whether they mean anything, only the model knows.
    distinct, places = value.unique(return_inverse=True)
    if len(distinct) == 1:
        return torch.where(value > 0, value - 1, value)
    return distinct.roll(1)[places]


def verify(start: Start, output: Any) -> None:
    """Raises SiteError unless a run from `start` returned the full run's bits."""
    full, found = list(tensors(start.output)), list(tensors(output))
    if not full:
        raise _refusal(
            start.path, f"the model returns {type(start.output).__name__}, no tensor to compare by", "run it whole"
        )
    if len(full) != len(found) or not all(map(torch.equal, full, found)):
        differ = sum(not torch.equal(*pair) for pair in zip(full, found, strict=False)) + abs(len(full) - len(found))
        raise _refusal(
            start.path,
            f"{differ} of the {len(full)} tensors that the model returns then differ from a full run's",
            "is dropout on (model.eval()), or output_hidden_states? Else its blocks share state, and must all run",
        )


def _copy(value: Tensor) -> Tensor:
    return value.detach().clone()


def _refusal(path: str, why: str, hint: str) -> SiteError:
    return SiteError(f"a run cannot start at {path}: {why}", hint=hint)
