"""Attention through transformers' attention interface, whatever kernel the model is configured for.

While a run needs it, asking the interface for a function gives that function with our tap around it. Configuration and
masks stay as they are, so the kernel gets what it always gets.
"""

import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch import hub
from darklantern.models.on_torch.building import Building
from darklantern.models.on_torch.ports.attention import AttentionPoints, Call, points

_NAME = "ALL_ATTENTION_FUNCTIONS"


def calls_interface(module: nn.Module) -> bool:
    """Whether the module's own forward asks the interface for its kernel."""
    forward = inspect.unwrap(type(module).forward)
    code = getattr(forward, "__code__", None)
    return "transformers" in sys.modules and code is not None and _NAME in code.co_names


class InterfaceTap:
    """One attention module of transformers."""

    def __init__(self, module: nn.Module, path: str) -> None:
        self.module = module
        self.own: AttentionPoints = points(module, path, self, "around its attention kernel")
        self._interface = inspect.unwrap(type(module).forward).__globals__[_NAME]

    def install(self, building: Building) -> None:
        building.tap_kernel(self.module, self.own, _Tapped(self._interface))


class _Tapped:
    """An interface whose `get_interface` is ours while a run lasts."""

    def __init__(self, interface: Any) -> None:
        self._interface = interface

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Tapped) and other._interface is self._interface

    def __hash__(self) -> int:
        return id(self._interface)

    def put(self) -> None:
        if not self._is_ours():
            # An attribute of the object, which hides the method of its class until it is deleted again.
            self._interface.get_interface = partial(_get_interface, self._interface.get_interface)

    def take(self) -> None:
        if self._is_ours():
            del self._interface.get_interface

    def _is_ours(self) -> bool:
        held = self._interface.__dict__.get("get_interface")
        return isinstance(held, partial) and held.func is _get_interface


def _get_interface(original: Callable[..., Any], name: str, default: Callable[..., Any]) -> Callable[..., Any]:
    kernel = original(name, default)
    run = hub.current()
    return partial(_attend, kernel, name) if run is not None and run.program.kernels else kernel


def _attend(
    kernel: Callable[..., Any],
    name: str,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    *args: Any,
    **kwargs: Any,
) -> tuple[Tensor, Any]:
    run = hub.current()
    own: AttentionPoints | None = None if run is None else run.program.kernels.get(module)
    if run is None or own is None:
        return kernel(module, query, key, value, attention_mask, *args, **kwargs)
    weights: list[Any] = [None]

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        z, weights[0] = kernel(module, q, k, v, attention_mask, *args, **kwargs)
        return z

    told = _call(name, kernel, module, query, key, attention_mask, args, kwargs)
    z = own.attend(run, Call(query, key, value, attend, returned=weights, **told))
    return z, weights[0]


def _call(
    name: str,
    kernel: Callable[..., Any],
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    mask: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> dict[str, Any]:
    """What the kernel's arguments say about scores and pattern."""
    if mask is not None and not isinstance(mask, Tensor):
        raise SiteError(
            f"attention {name!r} of {type(module).__name__} takes a {type(mask).__name__} as its mask",
            hint='load the model with attn_implementation="sdpa" or "eager" to see inside its attention',
        )
    if args:
        raise SiteError(
            f"{type(module).__name__} hands its kernel {len(args)} unnamed arguments", hint="q, k, v and z need names"
        )
    scale = kwargs.get("scaling")
    causal = kwargs.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    window = kwargs.get("sliding_window")
    return {
        "scale": query.shape[-1] ** -0.5 if scale is None else scale,
        "mask": mask,
        # The rule of the library's own sdpa kernel; its eager kernels take a mask or see everything.
        "causal": bool(causal) and name != "eager" and mask is None and query.shape[2] > 1,
        # A mask has the window in it; kernels that build none, as flash attention's, get it as an argument.
        "window": window if mask is None and window is not None and window < key.shape[2] else None,
        "bias": kwargs.get("position_bias"),
        "softcap": kwargs.get("softcap"),
        "sinks": kwargs.get("s_aux", kwargs.get("sinks")),
        "dropout": kwargs.get("dropout") or 0.0,
        "by": (name, kernel),
        "told": name in _OWN and getattr(kernel, "__module__", "").startswith("transformers."),
        "untold": _untold(mask, kwargs),
    }


def _untold(mask: Tensor | None, kwargs: dict[str, Any]) -> str:
    """What its arguments say that no formula here knows; empty where there is no such thing."""
    if mask is not None and mask.ndim != 4:
        return f"it is given a mask of shape {tuple(mask.shape)} and not (batch, head, pos, key)"
    strange = kwargs.keys() - _KNOWN
    if not strange:
        return ""
    unknown = sorted(name for name in strange if kwargs[name] is not None)
    return f"it is given {', '.join(unknown)}" if unknown else ""


_OWN = ("eager", "sdpa")
"""transformers' kernels that read nothing but tensors, scale, mask and bias; flash kernels also look at positions"""
_READ = {
    "scaling", "is_causal", "sliding_window", "position_bias", "softcap", "s_aux", "sinks", "dropout",
}  # fmt: skip
_HARMLESS = {
    # of the whole model, handed down to whoever wants them
    "use_cache", "past_key_values", "cache_position", "layer_idx", "return_dict", "output_attentions",
    "output_hidden_states", "output_router_logits", "logits_to_keep", "num_items_in_batch", "inputs_embeds",
    "encoder_hidden_states", "encoder_attention_mask", "attn_implementation",
    # already in the queries and keys; flash kernels find packed sequences by them, and are compared at every call
    "position_ids", "position_embeddings",
    # bounds of memory, or how a kernel adds up
    "max_length_q", "max_length_k", "deterministic", "target_dtype",
}  # fmt: skip
"""arguments that leave scores and pattern as they are"""
_KNOWN = frozenset(_READ | _HARMLESS)
