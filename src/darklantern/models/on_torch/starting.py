"""Runs that start at a block: its recorded input goes in, the blocks before it do not run.

The run still goes through the root module, whose masks, rotary tables and sharding hooks work as always.
Whether that gives the full run's bits is tried out once for each start, and refused where it does not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.calling import Inputs
from darklantern.models.edits import Edit
from darklantern.models.on_torch.program import Action, Plan, Program
from darklantern.models.on_torch.running import Run
from darklantern.models.on_torch.structure import mapped, tensors


@dataclass(frozen=True, eq=False)
class Start:
    """The entrance of one block, with what went in there: what `record` and `run` take in place of inputs."""

    path: str
    """the block's native path"""
    inputs: Any = field(repr=False)
    """what the whole model was given"""
    output: Any = field(repr=False)
    """what the whole model returned"""
    block: nn.Module = field(repr=False)
    prefix: tuple[nn.Module, ...] = field(repr=False)
    """the blocks before it, which do not run"""
    given: tuple[tuple[Any, ...], dict[str, Any]] = field(repr=False)
    """the block's arguments"""
    stand_in: Any = field(repr=False)
    """what each block of the prefix is said to return"""
    tokens: Any = field(default=None, repr=False)
    """the examples' tokens, where the model was given a Batch"""
    edits: tuple[Edit, ...] = field(default=(), repr=False)
    """those that were applied before the block, and are in what goes in there"""
    root: nn.Module | None = field(default=None, repr=False)
    """the model that it was taken from"""

    def refuse_change(self, action: Action) -> None:
        """Raises SiteError for an edit or a gradient before the block, where nothing of this run comes from."""
        if action.edit is None or action.edit not in self.edits:
            raise SiteError(
                f"{action.site} comes before {self.path}, where this run starts, so nothing would follow from a "
                "change there",
                hint="run from the model's inputs, or take the start under the edit: model.edited({...}).start(...)",
            )

    def refuse_plan(self, plan: Plan, module: nn.Module) -> None:
        """Raises SiteError for another model, or a plan without the edits that this start was taken under."""
        if self.root is not module:
            raise SiteError(
                f"this start, at {self.path}, was taken from another model", hint="model.start(inputs, block)"
            )
        missing = [edit for edit in self.edits if all(edit is not each for _, _, each in plan.edits)]
        if missing:
            raise SiteError(
                f"this start was taken under the edit {missing[0]}, and holds what follows from it",
                hint="run it on the edited model, or take a start without the edit",
            )

    def repeated(self, times: int) -> "Start":
        """This start for `times` copies of its batch, one after the other: one run for several edits.

        A larger batch may round differently in the last bit.
        """
        size = next(tensors((self.inputs.args, self.inputs.kwargs))).shape[0]

        def several(value: Tensor) -> Tensor:
            # With one example a leading 1 may also be there to broadcast; several of the same are as good.
            fits = value.ndim > 0 and value.shape[0] == size
            return value.repeat(times, *(1,) * (value.ndim - 1)) if fits else value

        return replace(
            self,
            inputs=mapped_inputs(self.inputs, several),
            given=(mapped(self.given[0], several), mapped(self.given[1], several)),
            stand_in=mapped(self.stand_in, several),
            tokens=None if self.tokens is None else tuple(self.tokens) * times,
        )

    def joined(self, program: Program) -> Program:
        """`program`, from here on."""
        made = program.joined()
        made.before[self.block] = [self._inject, *program.before.get(self.block, ())]
        for module in self.prefix:
            made.around[module] = [self._skipped]
            for handlers in (made.before, made.after, made.out):
                handlers.pop(module, None)  # what passes there is a stand-in, not a value
        return made

    def _inject(self, run: Run, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        run.entered = True
        held_args, held_kwargs = self.given
        new = tuple(_rather(held, now) for held, now in zip(held_args, args, strict=True))
        return new, {name: _rather(held_kwargs[name], now) for name, now in kwargs.items()}

    def _skipped(self, _: Any, __: Any, *args: Any, **kwargs: Any) -> Any:
        return self.stand_in


def _rather(held: Any, now: Any) -> Any:
    """The recorded tensors; objects that are no tensors as this run made them."""
    if isinstance(held, Tensor):
        return held
    if isinstance(held, tuple) and isinstance(now, tuple) and len(held) == len(now):
        return tuple(_rather(*pair) for pair in zip(held, now, strict=True))
    if isinstance(held, Mapping) and isinstance(now, Mapping) and held.keys() == now.keys():
        return {name: _rather(held[name], now[name]) for name in held}
    return now


def mapped_inputs(inputs: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    return Inputs(mapped(inputs.args, change), mapped(inputs.kwargs, change))
