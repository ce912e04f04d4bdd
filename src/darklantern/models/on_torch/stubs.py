"""A module's `forward`, replaced while a run needs it: hooks can see a call, they cannot replace or surround it."""

from functools import partial
from typing import Any

from torch import nn

from darklantern.models.on_torch import hub


class _Stub:
    """Stands in for `module.forward`: what the run under way puts around it, and for others only the original."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.own = module.__dict__.get("forward")
        """a forward that somebody else had put on the instance"""
        self.original = module.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        run, forward = hub.current(), self.original
        if run is not None:
            for surround in reversed(run.program.around.get(self.module, ())):
                forward = partial(surround, run, forward)
        return forward(*args, **kwargs)


def put_stub(module: nn.Module) -> None:
    """From now on `module.forward` is ours, if it is not already."""
    if not isinstance(module.__dict__.get("forward"), _Stub):
        module.__dict__["forward"] = _Stub(module)


def take_stub(module: nn.Module) -> None:
    """`module.forward` is what it was, unless somebody has replaced ours meanwhile."""
    stub = module.__dict__.get("forward")
    if isinstance(stub, _Stub):
        if stub.own is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = stub.own
