"""What a run sets up, and until when: to its end, or, if the backward pass recomputes, to the end of its graph.

Activation checkpointing runs modules again while gradients flow. If our edits were gone by then, the recomputed
values would not be those of the forward pass and the gradients silently wrong. So such a run leaves its hooks and
taps in place; they belong to its autograd graph, go when that goes, and serve nobody else's passes.
"""

import weakref
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch._C import _current_graph_task_id
from torch.autograd import Variable

from darklantern.models.on_torch import hub
from darklantern.models.on_torch.program import Action, Plan, Program
from darklantern.models.on_torch.structure import tensors


class Setup:
    """A program's hooks and taps, in place from `open` to `close`."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._around: ExitStack | None = None

    def open(self) -> None:
        hub.install(self.program)
        try:
            if self.program.around:
                self._around = ExitStack()
                for surround in self.program.around.values():
                    self._around.enter_context(surround())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._around is not None:
            self._around.close()
        hub.remove(self.program)


class Graph:
    """The autograd graph of one run that will be walked with recomputation. Its nodes hold it; nothing else does."""

    def __init__(self, plan: Plan, program: Program, start: Any, shards: Any = None) -> None:
        self.plan, self.program, self.start, self.shards = plan, program, start, shards
        self.gradients: dict[Action, Tensor] = {}
        """caught while recomputing, where the first pass had no graph to ask"""

    def holds(self, *values: Any) -> None:
        """A backward pass that comes through one of these tensors belongs to this run."""
        for value in tensors(values):
            if value.grad_fn is not None:
                value.grad_fn.register_prehook(lambda _: self._bind())

    def lasts(self, setup: Setup) -> None:
        """`setup` stays until the graph is gone."""
        weakref.finalize(self, setup.close).atexit = False

    def _bind(self) -> None:
        from darklantern.models.on_torch.running import Run

        task = _current_graph_task_id()
        if task not in hub.BACKWARD:
            again = hub.BACKWARD[task] = Run(self.plan, self.program, self.start, graph=self)
            again.shards = self.shards
            hub.NESTED.tasks = [*getattr(hub.NESTED, "tasks", []), task]
            Variable._execution_engine.queue_callback(lambda: _done(task))


def _done(task: int) -> None:
    hub.BACKWARD.pop(task, None)
    hub.NESTED.tasks = [each for each in hub.NESTED.tasks if each != task]


def is_checkpointed(grad_at_start: bool) -> bool:
    """Whether what runs now will run again in the backward pass.

    The reentrant kind of checkpointing turns gradients off around its first pass; the other one sets hooks for saved
    tensors. That function is torch's own and may go: where it is missing, the answer is yes, which only costs that
    hooks stay until the graph is gone.
    """
    if not grad_at_start:
        return False
    if not torch.is_grad_enabled() or _top is None:
        return True
    return _top(True) is not None


_top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
