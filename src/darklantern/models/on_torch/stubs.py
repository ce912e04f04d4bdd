"""A module's `forward`, replaced while a run needs it: hooks can see a call, they cannot replace or surround it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

_LOCK = threading.RLock()
_STUBS: "WeakKeyDictionary[nn.Module, _Stub]" = WeakKeyDictionary()

Surround = Callable[..., Any]
"""(original forward, *args, **kwargs) → output"""


class _Stub:
    """Stands in for `module.forward`. Outside of our runs it only calls the original."""

    def __init__(self, module: nn.Module) -> None:
        self.own = module.__dict__.get("forward")
        """a forward that somebody else had put on the instance"""
        self.original = module.forward
        self.surrounds: list[Surround] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._from(0, args, kwargs)

    def _from(self, place: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if place >= len(self.surrounds):
            return self.original(*args, **kwargs)
        return self.surrounds[place](lambda *a, **k: self._from(place + 1, a, k), *args, **kwargs)


@contextmanager
def wrapped(module: nn.Module, surround: Surround) -> Iterator[None]:
    """`surround` is called in place of `module.forward`, and given it. It must do nothing for others' runs."""
    with _LOCK:
        stub = _STUBS.get(module) or _Stub(module)
        _STUBS[module] = stub
        module.__dict__["forward"] = stub
        stub.surrounds.append(surround)
    try:
        yield
    finally:
        with _LOCK:
            stub.surrounds.remove(surround)
            if not stub.surrounds:
                _STUBS.pop(module, None)
                if module.__dict__.get("forward") is stub:
                    if stub.own is None:
                        del module.__dict__["forward"]
                    else:
                        module.__dict__["forward"] = stub.own
