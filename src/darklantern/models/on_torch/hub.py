"""The hooks, and whom they serve: one pair on a module however many runs need it, gone with the last.

A hook looks up the run under way in its own thread, so that threads that share a module do not see each
other's edits, and a plain call of the module in another thread sees none. What is called from within an edit
belongs to no run, or to one of its own.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch._C import _current_graph_task_id

if TYPE_CHECKING:
    from darklantern.models.on_torch.program import Program
    from darklantern.models.on_torch.running import Run

_NOBODY: Any = object()
_RUN: ContextVar["Run | None"] = ContextVar("darklantern_run", default=None)
_LOCK = threading.RLock()
BACKWARD: "dict[int, Run]" = {}
"""autograd's number of a backward pass under way → the run whose graph it walks"""
NESTED = threading.local()
"""`.tasks`: those of this thread, innermost last; a pass that starts within one belongs to it"""

# Set straight in the dictionaries in which `register_forward_hook` would set them: making and taking away its handles
# costs as much as a dozen small recordings. torch numbers its own hooks from 0 up.
_KEY, _KEY_OUT = -50791, -50792
_BEFORE: dict[nn.Module, int] = {}
_AFTER: dict[nn.Module, int] = {}
_OUT: dict[nn.Module, int] = {}
"""how many runs need each module's hook"""


def current() -> "Run | None":
    """The run that a module firing now belongs to: of this thread, or, in a backward pass, of its graph."""
    run = _RUN.get()
    if run is _NOBODY:
        return None
    if not BACKWARD or (task := _current_graph_task_id()) == -1:
        return run
    tasks = getattr(NESTED, "tasks", None)
    return BACKWARD.get(task) or (BACKWARD.get(tasks[-1]) if tasks else None) or run


def enter(run: "Run") -> Token["Run | None"]:
    """`run` is under way in this thread, until `leave`."""
    return _RUN.set(run)


def leave(token: Token["Run | None"]) -> None:
    _RUN.reset(token)


@contextmanager
def paused() -> Iterator[None]:
    """No run sees what is called here."""
    token = _RUN.set(_NOBODY)
    try:
        yield
    finally:
        _RUN.reset(token)


def install(program: "Program") -> None:
    """Count one more run on the hooks that `program` needs, setting those that are not there."""
    with _LOCK:
        for module in program.before:
            if _first(_BEFORE, module):
                # Behind what a sharding library put there, so that placements are still visible.
                module._forward_pre_hooks[_KEY] = _before
                module._forward_pre_hooks_with_kwargs[_KEY] = True
        for module in program.after:
            if _first(_AFTER, module):
                _front(module, _KEY, _after)
                module._forward_hooks_with_kwargs[_KEY] = True
        for module in program.out:
            count = _OUT.get(module)
            if count is None:
                hooks = module._forward_hooks
                if hooks:
                    _front(module, _KEY_OUT, _out)
                else:
                    hooks[_KEY_OUT] = _out
            _OUT[module] = (count or 0) + 1


def remove(program: "Program") -> None:
    """Count one run less, removing the hooks that nobody needs."""
    with _LOCK:
        for module in program.before:
            if _last(_BEFORE, module):
                del module._forward_pre_hooks[_KEY], module._forward_pre_hooks_with_kwargs[_KEY]
        for module in program.after:
            if _last(_AFTER, module):
                del module._forward_hooks[_KEY], module._forward_hooks_with_kwargs[_KEY]
        for module in program.out:
            if _last(_OUT, module):
                del module._forward_hooks[_KEY_OUT]


def _front(module: nn.Module, key: int, hook: Any) -> None:
    """Set a forward hook before all others, so that it sees a sharding library's placements; `_KEY` comes first."""
    hooks: OrderedDict[int, Any] = module._forward_hooks  # type: ignore[assignment]  # declared as its base class
    hooks[key] = hook
    if len(hooks) > 1:
        hooks.move_to_end(key, last=False)
        if _KEY in hooks:
            hooks.move_to_end(_KEY, last=False)


def _first(counts: dict[nn.Module, int], module: nn.Module) -> bool:
    count = counts.get(module, 0)
    counts[module] = count + 1
    return not count


def _last(counts: dict[nn.Module, int], module: nn.Module) -> bool:
    count = counts[module] - 1
    if count:
        counts[module] = count
    else:
        del counts[module]
    return not count


def _before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    run = current()
    if run is None:
        return None
    changed = False
    for handler in run.program.before.get(module, ()):
        new = handler(run, module, args, kwargs)
        if new is not None:
            args, kwargs = new
            changed = True
    return (args, kwargs) if changed else None


def _after(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    run = current()
    if run is not None:
        for handler in run.program.after.get(module, ()):
            output = handler(run, module, args, kwargs, output)
    return output


def _out(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    run = current()
    if run is None:
        return output
    # The common case, written out because it decides what looking costs: one recording of one whole tensor.
    slot = run.slots.get(module)
    if slot is not None and type(output) is Tensor and not output.requires_grad and run.first[slot] is None:
        run.first[slot] = output.clone()
        return None
    for handler in run.program.out.get(module, ()):
        output = handler(run, module, args, {}, output)
    return output
