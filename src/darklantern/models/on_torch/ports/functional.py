"""Attention in one's own code that calls `torch.nn.functional.scaled_dot_product_attention`."""

import inspect
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from darklantern.models.on_torch import hub
from darklantern.models.on_torch.building import Building
from darklantern.models.on_torch.ports.attention import AttentionPoints, Call, points
from darklantern.models.on_torch.running import Run

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

    def __init__(self, module: nn.Module, path: str) -> None:
        self.module = module
        self.own: AttentionPoints = points(module, path, self, "around scaled_dot_product_attention")

    def install(self, building: Building) -> None:
        building.tap_kernel(self.module, self.own)
        building.do_around(self.module, self._forward)

    def _forward(self, run: Run, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with _Seen(self.own, run):
            return forward(*args, **kwargs)


class _Seen(TorchFunctionMode):
    """The calls that one run makes within the module. Another run may be under way inside it, in an edit."""

    def __init__(self, own: AttentionPoints, run: Run) -> None:
        super().__init__()
        self.own, self.run = own, run

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not _SDPA or hub.current() is not self.run:
            return func(*args, **kwargs)
        bound = sdpa_arguments(*args, **kwargs)
        q, k, v = bound.pop("query"), bound.pop("key"), bound.pop("value")
        return self._attend(q, k, v, bound)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bound: dict[str, Any]) -> Tensor:
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
        return self.own.attend(self.run, call).transpose(1, 2)


def sdpa_arguments(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> dict[str, Any]:
    """What a call of the function was given, by name, in the function's own order."""
    return locals()
