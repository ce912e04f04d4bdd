"""What runs put on a model, and take off again: one hook of each kind on a module however many runs need it.

Who holds what is kept as sets, and every step may be done twice: an interrupt half-way leaves at worst a hook that
serves nobody, and the next run puts it right.
"""

import gc
import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from darklantern.models.on_torch import hub
from darklantern.models.on_torch.stubs import put_stub, take_stub

if TYPE_CHECKING:
    from darklantern.models.on_torch.program import Program


class Tapped(Hashable, Protocol):
    """Something beside the modules that is tapped while a run lasts. Both methods may be called again."""

    def put(self) -> None: ...

    def take(self) -> None: ...


_LOCK = threading.Lock()
_COLLECTOR = {"phase": "stop"}


def _collecting(phase: str, info: dict[str, int]) -> None:
    _COLLECTOR["phase"] = phase


gc.callbacks.append(_collecting)

# Set straight in the dictionaries in which `register_forward_hook` would set them: making and taking away its handles
# costs as much as a dozen small recordings. torch numbers its own hooks from 0 up.
_KEY, _KEY_OUT = -50791, -50792
_BEFORE: dict[nn.Module, set[object]] = {}
_AFTER: dict[nn.Module, set[object]] = {}
_OUT: dict[nn.Module, set[object]] = {}
_AROUND: dict[nn.Module, set[object]] = {}
_TAPPED: dict[Tapped, set[object]] = {}


def place(holder: object, program: "Program") -> None:
    """Put on what `program` needs, where it is not there yet, on behalf of `holder`."""
    with _LOCK:
        for module in program.before:
            if not _BEFORE.get(module):
                # Behind what a sharding library put there, so that placements are still visible.
                module._forward_pre_hooks_with_kwargs[_KEY] = True
                module._forward_pre_hooks[_KEY] = hub.before
            _BEFORE.setdefault(module, set()).add(holder)
        for module in program.after:
            if not _AFTER.get(module):
                module._forward_hooks_with_kwargs[_KEY] = True
                _front(module, _KEY, hub.after)
            _AFTER.setdefault(module, set()).add(holder)
        cut = "torch.distributed.tensor" in sys.modules and torch.distributed.is_initialized()
        for module in program.out:
            if held := _OUT.get(module):
                held.add(holder)
                continue
            if cut:
                _front(module, _KEY_OUT, hub.out)
            else:
                module._forward_hooks[_KEY_OUT] = hub.out  # behind the user's own: what they return flows on
            _OUT[module] = {holder}
        for module in program.around:
            if not _AROUND.get(module):
                put_stub(module)
            _AROUND.setdefault(module, set()).add(holder)
        for tapped in program.tapped:
            if not _TAPPED.get(tapped):
                tapped.put()
            _TAPPED.setdefault(tapped, set()).add(holder)
    settle()


def take_off(holder: object, program: "Program") -> None:
    """Take away what only `holder` needed."""
    with _LOCK:
        _take_off(holder, program)
    settle()


def settle() -> None:
    """Take off what belonged to setups that are gone, unless this is the midst of it, or another thread's."""
    while hub.GONE and _LOCK.acquire(blocking=False):
        try:
            while hub.GONE:
                _take_off(*hub.GONE.popleft())
        finally:
            _LOCK.release()


def settle_unless_collecting() -> None:
    """As `settle`, for a finalizer. The collector may run where torch goes through a module's hooks: then later."""
    if _COLLECTOR["phase"] == "stop":
        settle()


def _take_off(holder: object, program: "Program") -> None:
    for module in program.before:
        if _last(_BEFORE, module, holder):
            module._forward_pre_hooks.pop(_KEY, None)
            module._forward_pre_hooks_with_kwargs.pop(_KEY, None)
            _BEFORE.pop(module, None)
    for module in program.after:
        if _last(_AFTER, module, holder):
            module._forward_hooks.pop(_KEY, None)
            module._forward_hooks_with_kwargs.pop(_KEY, None)
            _AFTER.pop(module, None)
    for module in program.out:  # as `_last`, written out: many modules, at every run
        held = _OUT.get(module)
        if held:
            held.discard(holder)
        if not held:
            module._forward_hooks.pop(_KEY_OUT, None)
            _OUT.pop(module, None)
    for module in program.around:
        if _last(_AROUND, module, holder):
            take_stub(module)
            _AROUND.pop(module, None)
    for tapped in program.tapped:
        if _last(_TAPPED, tapped, holder):
            tapped.take()
            _TAPPED.pop(tapped, None)


def _last(holders: dict[Any, set[object]], thing: Any, holder: object) -> bool:
    """`holder` lets go of `thing`; whether nobody holds it now."""
    held = holders.get(thing)
    if held:
        held.discard(holder)
    return not held


def _front(module: nn.Module, key: int, hook: Any) -> None:
    """Set a forward hook before all others, so that it sees a sharding library's placements; `_KEY` comes first."""
    hooks: OrderedDict[int, Any] = module._forward_hooks  # type: ignore[assignment]  # declared as its base class
    hooks[key] = hook
    if len(hooks) > 1:
        hooks.move_to_end(key, last=False)
        if _KEY in hooks:
            hooks.move_to_end(_KEY, last=False)
