"""The hooks, and who they serve: one pair on a module however many runs need it, gone with the last.

A hook looks up the runs under way in its own thread, so that threads that share a module do not see each
other's edits, and a plain call of the module in another thread sees none.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from torch import nn
from torch._C import _current_graph_task_id
from torch.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from darklantern.models.on_torch.running import Run

_RUNS: ContextVar[tuple["Run", ...]] = ContextVar("darklantern_runs", default=())
_LOCK = threading.RLock()
_BEFORE: "WeakKeyDictionary[nn.Module, _Served]" = WeakKeyDictionary()
_AFTER: "WeakKeyDictionary[nn.Module, _Served]" = WeakKeyDictionary()
_BACKWARD: "dict[int, Run]" = {}
"""autograd's number of a backward pass under way → the run whose graph it walks"""


class _Served:
    """A module's hook and how many runs need it."""

    def __init__(self, handle: RemovableHandle) -> None:
        self.handle = handle
        self.count = 0


def runs() -> tuple["Run", ...]:
    """The runs that a module firing now belongs to: of this thread, or, in a backward pass, of its graph."""
    task = _current_graph_task_id()
    if task == -1:
        return _RUNS.get()
    recomputed = _BACKWARD.get(task)
    return _RUNS.get() if recomputed is None else (recomputed,)


@contextmanager
def under_way(run: "Run") -> Iterator[None]:
    """`run` is under way in this thread."""
    token = _RUNS.set((*_RUNS.get(), run))
    try:
        yield
    finally:
        _RUNS.reset(token)


def bind(task: int, run: "Run") -> None:
    """Backward pass `task` walks the graph of `run`."""
    _BACKWARD[task] = run


def unbind(run: "Run") -> None:
    for task in [task for task, bound in _BACKWARD.items() if bound is run]:
        del _BACKWARD[task]


def install(before: Iterable[nn.Module], after: Iterable[nn.Module]) -> None:
    """Count one more run on these modules' hooks, setting those that are not there."""
    with _LOCK:
        for module in before:
            # Appended: behind what a sharding library put there, so that placements are still visible.
            _more(_BEFORE, module, lambda m: m.register_forward_pre_hook(_before, with_kwargs=True))
        for module in after:
            # Prepended, for the same reason.
            _more(_AFTER, module, lambda m: m.register_forward_hook(_after, with_kwargs=True, prepend=True))


def remove(before: Iterable[nn.Module], after: Iterable[nn.Module]) -> None:
    """Count one run less, removing the hooks that nobody needs."""
    with _LOCK:
        for module in before:
            _fewer(_BEFORE, module)
        for module in after:
            _fewer(_AFTER, module)


def _more(served: "WeakKeyDictionary[nn.Module, _Served]", module: nn.Module, hook: Any) -> None:
    held = served.get(module)
    if held is None:
        held = served[module] = _Served(hook(module))
    held.count += 1


def _fewer(served: "WeakKeyDictionary[nn.Module, _Served]", module: nn.Module) -> None:
    held = served[module]
    held.count -= 1
    if not held.count:
        held.handle.remove()
        del served[module]


def _before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    changed = False
    for run in runs():
        for handler in run.program.before.get(module, ()):
            new = handler(run, module, args, kwargs)
            if new is not None:
                args, kwargs = new
                changed = True
    return (args, kwargs) if changed else None


def _after(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    for run in runs():
        for handler in run.program.after.get(module, ()):
            output = handler(run, module, args, kwargs, output)
    return output


@contextmanager
def paused() -> Iterator[None]:
    """No run sees what is called here."""
    token = _RUNS.set(())
    try:
        yield
    finally:
        _RUNS.reset(token)
