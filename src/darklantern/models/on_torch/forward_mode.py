"""Jacobian-vector products: tangents that travel with the values."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from darklantern.models.edits import Edit, put
from darklantern.models.recording import Recording


@contextmanager
def forward_mode() -> Iterator[None]:
    """Tangents are carried, attention runs by its plain formula: the fused kernels have no forward rule."""
    with warnings.catch_warnings():
        # torch loads its rules when first needed, and warns there about a function of its own.
        warnings.simplefilter("ignore", DeprecationWarning)
        import_module("torch._decomp.decompositions_for_jvp")
    with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        yield


def tangent_edit(tangent: Any) -> Edit:
    """The value as it is, with `tangent` added to what travels with it."""
    fitted = put(tangent)

    def moved(old: Tensor, axes: tuple[str, ...]) -> Tensor:
        primal, before = forward_ad.unpack_dual(old)
        added = fitted(primal, axes)
        return forward_ad.make_dual(primal, added if before is None else before + added)

    return Edit("tangent", moved)


def carried(recording: Recording) -> Recording:
    """The tangents in `recording`; zeros where none arrived."""
    rows = []
    for site in recording.sites:
        value = recording[site]
        primal, tangent = forward_ad.unpack_dual(value.array)
        rows.append((site, torch.zeros_like(primal) if tangent is None else tangent.clone(), value.axes))
    return Recording(rows, recording.output, recording.tokens)
