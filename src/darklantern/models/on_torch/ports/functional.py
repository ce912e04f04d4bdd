"""Attention in one's own code that calls `torch.nn.functional.scaled_dot_product_attention`."""

import inspect
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from darklantern.models.on_torch import hub, stubs
from darklantern.models.on_torch.ports.attention import AttentionPoints, Call, points
from darklantern.models.on_torch.program import Program

_SDPA = F.scaled_dot_product_attention


def calls_sdpa(module: nn.Module) -> bool:
    """Whether the module's own forward names that function, under whatever name it was imported."""
    forward = inspect.unwrap(type(module).forward)
    code = getattr(forward, "__code__", None)
    if code is None:
        return False
    return _SDPA.__name__ in code.co_names or any(forward.__globals__.get(name) is _SDPA for name in code.co_names)


class FunctionalTap:
    """One module that calls the function; the mode that sees the call is on during this module's forward only."""

    order = 10

    def __init__(self, module: nn.Module, path: str) -> None:
        self.module = module
        self.own: AttentionPoints = points(module, path, self, "around scaled_dot_product_attention")

    def install(self, program: Program) -> None:
        program.kernels[self.module] = self.own
        program.around[self] = partial(stubs.wrapped, self.module, self._forward)

    def _forward(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        with _Seen(self.module):
            return original(*args, **kwargs)


class _Seen(TorchFunctionMode):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not _SDPA:
            return func(*args, **kwargs)
        run = hub.current()
        own = None if run is None else run.program.kernels.get(self.module)
        if own is None:
            return func(*args, **kwargs)
        bound = _bound(*args, **kwargs)
        q, k, v = bound.pop("query"), bound.pop("key"), bound.pop("value")
        return self._attend(run, own, q, k, v, bound)

    def _attend(self, run: Any, own: AttentionPoints, q: Tensor, k: Tensor, v: Tensor, bound: dict[str, Any]) -> Tensor:
        def kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return _SDPA(q, k, v, **bound).transpose(1, 2)

        scale = bound["scale"]
        call = Call(
            q, k, v, kernel,
            scale=q.shape[-1] ** -0.5 if scale is None else scale,
            mask=bound["attn_mask"],
            causal=bound["is_causal"],
            dropout=bound["dropout_p"],
        )  # fmt: skip
        return own.attend(run, call).transpose(1, 2)


def _bound(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> dict[str, Any]:
    return locals()
