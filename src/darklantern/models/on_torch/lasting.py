"""What a run sets up, and until when: to its end, or, if the backward pass recomputes, to the end of its graph.

Activation checkpointing runs modules again while gradients flow. If our edits were gone by then, the recomputed
values would not be those of the forward pass and the gradients silently wrong. So such a run leaves its hooks and
taps in place; they belong to its autograd graph, go when that goes, and serve nobody else's passes.
"""

import sys
import threading
from typing import Any

import torch
from torch import Tensor

from darklantern.models.on_torch import hub, placing
from darklantern.models.on_torch.program import Action, Plan, Program
from darklantern.models.on_torch.structure import tensors


class Setup:
    """A program's hooks and taps, in place from `open` to `close`, or until nobody has the Setup any more.

    Where the collector found it, its hooks go with the next call that comes through one of them.
    """

    _is_open = False

    def __init__(self, program: Program) -> None:
        self.program = program
        self._holder = object()

    def open(self) -> None:
        self._is_open = True
        placing.place(self._holder, self.program)

    def close(self) -> None:
        placing.take_off(self._holder, self.program)
        self._is_open = False

    def __del__(self) -> None:
        if self._is_open:
            hub.GONE.append((self._holder, self.program))
            placing.settle_unless_collecting()


class Graph:
    """The autograd graph of one run that will be walked with recomputation. Its nodes hold it; nothing else does."""

    def __init__(self, plan: Plan, program: Program, start: Any, shards: Any, first: int) -> None:
        self.plan, self.program, self.start, self.shards = plan, program, start, shards
        self.first, self.last = first, sys.maxsize
        """its nodes are those that the thread made from this number on, and before the other"""
        self.thread = threading.get_ident()
        self.gradients: dict[Action, list[Tensor]] = {}
        """caught while recomputing, where the first pass had no graph to ask"""
        self.setup: Setup | None = None
        """stays as long as the graph"""

    def ends(self, setup: "Setup") -> None:
        """The run is over; `setup` stays as long as the graph."""
        self.last, self.setup = torch._C._autograd._get_sequence_nr(), setup

    def holds(self, *values: Any) -> None:
        """A backward pass that comes through one of these tensors belongs to this run."""
        for value in tensors(values):
            if value.grad_fn is not None:
                value.grad_fn.register_prehook(lambda _: self._bind())

    def _bind(self) -> None:
        from darklantern.models.on_torch.running import Run

        if not hub.is_walked(self):
            again = Run(self.plan, self.program, self.start, graph=self)
            again.shards = self.shards
            hub.walk(self, again)


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
