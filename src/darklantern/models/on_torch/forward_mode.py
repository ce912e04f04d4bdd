"""Jacobian-vector products: tangents that travel with the values."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from darklantern.models.edits import Edit, put
from darklantern.models.on_torch.ports.functional import sdpa_arguments
from darklantern.models.recording import Recording


@contextmanager
def forward_mode() -> Iterator[None]:
    """Tangents are carried, attention runs by its plain formula: the fused kernels have no forward rule.

    In this thread only: torch's own switch for that changes the kernels of all threads, and so other runs' bits.
    """
    _load_rules()
    with forward_ad.dual_level(), torch.no_grad(), _PlainAttention():
        yield


@cache
def _load_rules() -> None:
    """torch loads its forward rules when first needed, and warns there about a function of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import_module("torch._decomp.decompositions_for_jvp")


class _PlainAttention(TorchFunctionMode):
    """Attention as matrix products and a softmax, whoever calls it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            given = sdpa_arguments(*args, **kwargs)
            # In its order: query, key, value, mask, dropout, causal; the last two by name.
            *placed, scale, gqa = given.values()
            return torch._scaled_dot_product_attention_math(*placed, scale=scale, enable_gqa=gqa)[0]
        if func is F.multi_head_attention_forward:
            # It has the plain formula too, and takes it where the weights are wanted.
            out, weights = func(*args, **{**kwargs, "need_weights": True})
            return out, weights if kwargs.get("need_weights", True) else None
        return func(*args, **kwargs)


def tangent_edit(tangent: Any) -> Edit:
    """The value as it is, with `tangent` added to what travels with it."""
    fitted = put(tangent)

    def moved(old: Tensor, axes: tuple[str, ...]) -> Tensor:
        primal, before = forward_ad.unpack_dual(old)
        added = fitted(primal, axes)
        return forward_ad.make_dual(primal, added if before is None else before + added)

    return Edit("tangent", moved, lengths=fitted.lengths)


def carried(recording: Recording) -> Recording:
    """The tangents in `recording`; zeros where none arrived."""
    rows = []
    for site in recording.sites:
        value = recording[site]
        primal, tangent = forward_ad.unpack_dual(value.array)
        rows.append((site, torch.zeros_like(primal) if tangent is None else tangent.clone(), value.axes))
    return Recording(rows, recording.output, recording.tokens)
