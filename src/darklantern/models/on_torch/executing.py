"""Executes runs on one module: puts on what a plan needs, calls the module, takes it off again."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from darklantern.errors import SiteError
from darklantern.models.calling import arguments, call
from darklantern.models.keeping import Keeper
from darklantern.models.on_torch import compiled, hub
from darklantern.models.on_torch.lasting import Setup
from darklantern.models.on_torch.padding import refuse_padding
from darklantern.models.on_torch.program import Plan
from darklantern.models.on_torch.running import Run, Stop
from darklantern.models.on_torch.starting import Start
from darklantern.models.passes import note
from darklantern.models.recording import Recording
from darklantern.models.tokens import Batch


class Executor:
    """One module, and how it is called: as it is, or, where it was compiled, eagerly by choice."""

    def __init__(self, module: nn.Module, eager: bool) -> None:
        self.module, self.eager = module, eager

    def execute(self, plan: Plan, inputs: Any, keep: Keeper | None = None, local: bool = False) -> Recording:
        """Run `plan` on `inputs`, or from a Start. Raises SiteError when a site of the plan never fires."""
        try:
            run = self.begun_or_told(plan, inputs, keep)
            run.local = local
            return run.recording(self.go(run, inputs))
        except BaseException:
            if keep is not None:
                keep.dropped()
            raise

    def begun_or_told(self, plan: Plan, inputs: Any, keep: Keeper | None = None) -> Run:
        """As `begun`; where it is refused, the other ranks of a cut module are told, and do not wait."""
        try:
            return self.begun(plan, inputs, keep)
        except SiteError as error:
            if is_distributed():
                from darklantern.models.on_torch import shards

                shards.tell(self.module, error)
            raise

    def begun(self, plan: Plan, inputs: Any, keep: Keeper | None = None) -> Run:
        """A run of `plan`, ready to go. Raises SiteError for inputs that do not fit it."""
        self.refuse_compiled(plan)
        start = inputs if isinstance(inputs, Start) else None
        if start is not None:
            start.refuse_plan(plan, self.module)
        if plan.by_step:
            raise SiteError(f"{plan.by_step} names decoding steps, and this is one run", hint="model.generate(...)")
        tokens = inputs.tokens if isinstance(inputs, Start | Batch) else None
        if tokens is not None:
            plan.refuse_lengths([len(each) for each in tokens])
        elif plan.from_the_end:
            refuse_padding(plan.from_the_end, arguments(start.inputs if start else inputs)[1])
        return Run(plan, start.joined(plan.program) if start else None, start, keep=keep, tokens=tokens)

    def go(self, run: Run, inputs: Any, entry: Callable[..., Any] | None = None) -> Any:
        """What the module, or `entry`, returns while `run` is under way; None when the run stopped it."""
        note(forward=1, partial=int(isinstance(inputs, Start) or run.plan.stop))
        inputs = inputs.inputs if isinstance(inputs, Start) else inputs
        if not self.eager and not is_distributed():
            return _set_up(run, inputs, entry or self.module)
        with self.in_step(run), compiled.eagerly() if self.eager else nullcontext():
            return _set_up(run, inputs, entry or self.module)

    def in_step(self, run: Run) -> AbstractContextManager[None]:
        """What surrounds a run on a module that is cut over several ranks; nothing elsewhere."""
        if run.shards is not None or not is_distributed():
            return nullcontext()
        from darklantern.models.on_torch import shards

        return shards.entered(self.module, run)

    def refuse_compiled(self, plan: Plan) -> None:
        """Raises SiteError where hooks would be dropped."""
        if not self.eager:
            compiled.refuse(plan.leading)

    def refuse_cut(self, what: str, hint: str) -> None:
        """Raises SiteError for a module that is cut over several ranks."""
        if is_distributed():
            from darklantern.models.on_torch import sharding

            sharding.refuse(self.module, what, hint)


def _set_up(run: Run, inputs: Any, entry: Callable[..., Any]) -> Any:
    setup = Setup(run.program)
    try:
        setup.open()
        output = _called(run, inputs, entry)
    except BaseException:
        setup.close()
        raise
    if run.graph is None:
        setup.close()
    else:
        run.graph.holds(output, list(run.kept.values()))
        run.graph.ends(setup)
    return output


def _called(run: Run, inputs: Any, entry: Callable[..., Any]) -> Any:
    run.began = torch._C._autograd._get_sequence_nr()
    token = hub.enter(run)
    try:
        return call(entry, inputs)
    except Stop as stop:
        if stop.run is not run:  # of a run around this one
            raise
        return None
    finally:
        hub.leave(token)


def is_distributed() -> bool:
    """Whether this process could hold a piece of a model: where it cannot, none of that is loaded."""
    return "torch.distributed.tensor" in sys.modules and torch.distributed.is_initialized()


def executor(module: Any, choice: str) -> Executor:
    """What executes runs on `module`. Raises SiteError for what cannot be opened."""
    if not isinstance(module, nn.Module):
        raise SiteError(
            f"expected a torch.nn.Module, got {type(module).__name__}",
            hint="build or load the model first, and open what you would call",
        )
    if isinstance(module, nn.DataParallel):
        raise SiteError(
            "nn.DataParallel runs copies of the model in threads of its own", hint="open the model inside: .module"
        )
    if type(module).__module__.startswith("torch.jit"):
        raise SiteError("a TorchScript module has no hooks", hint="open the model that it was made from")
    if choice not in ("refuse", "eager"):
        raise SiteError(f'expected compiled="refuse" or "eager", got {choice!r}', hint="eager runs it uncompiled")
    if choice == "refuse":
        compiled.refuse({"": module})
    return Executor(module, choice == "eager")
