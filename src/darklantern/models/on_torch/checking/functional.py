"""Attention of one's own code, against the very function that it calls.

A separate run watches the arguments of `scaled_dot_product_attention`. Fed unit vectors as values, that function
returns its pattern; its scores are written out here in float64.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from darklantern.models.on_torch.checking.certificate import Outcome
from darklantern.models.on_torch.checking.comparing import EXACT, compared, tolerance, uncovered
from darklantern.models.on_torch.checking.subject import BROKEN, Place, Subject, told
from darklantern.models.on_torch.ports.functional import FunctionalTap
from darklantern.models.on_torch.structure import mapped

ORACLE = "the function's own arguments"
UNITS = "the function fed unit vectors"
_PLACES = ("attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")


def findings(subject: Subject) -> Iterator[Outcome]:
    """Compare with what the function was given and returned."""
    places = [place for place in subject.values if isinstance(place.point.tap, FunctionalTap)]
    if not places:
        return
    calls = _watched(subject, {place.point.module for place in places})
    for place in places:
        held = calls.get(place.point.module, [])
        if place.call >= len(held):
            yield uncovered(place, ORACLE, "a separate run did not see it call the function")
            continue
        try:
            yield _finding(place, subject.values[place], *held[place.call])
        except BROKEN as error:
            yield uncovered(place, UNITS, told(error))


def _watched(subject: Subject, modules: set[nn.Module]) -> dict[nn.Module, list[Any]]:
    mode = _Watching()
    handles = [each.register_forward_pre_hook(partial(_begin, mode)) for each in modules]
    handles += [each.register_forward_hook(partial(_end, mode)) for each in modules]
    try:
        with mode:
            subject.bare()
    finally:
        for handle in handles:
            handle.remove()
    return mode.calls


class _Watching(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.under_way: list[nn.Module] = []
        self.calls: dict[nn.Module, list[Any]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func is F.scaled_dot_product_attention and self.under_way:
            given = dict(zip(("query", "key", "value", *_PLACES), args, strict=False)) | kwargs
            held = mapped(given, lambda tensor: tensor.clone())
            self.calls.setdefault(self.under_way[-1], []).append((held, out.clone()))
        return out


def _begin(mode: _Watching, module: nn.Module, _: Any) -> None:
    mode.under_way.append(module)


def _end(mode: _Watching, _: nn.Module, __: Any, ___: Any) -> None:
    mode.under_way.pop()


def _finding(place: Place, found: Tensor, given: dict[str, Any], out: Tensor) -> Outcome:
    direct = {"q": given["query"], "k": given["key"], "v": given["value"], "z": out}
    if place.port in direct:
        return compared(place, ORACLE, found, direct[place.port].transpose(1, 2), EXACT)
    if place.port == "scores":
        return compared(place, "q·k written out in float64", found.double(), _scores(given), tolerance(found))
    return compared(place, UNITS, found, _pattern(given))


def _pattern(given: dict[str, Any]) -> Tensor:
    q, k = given["query"], given["key"]
    units = torch.eye(k.shape[-2], dtype=k.dtype, device=k.device).expand(*k.shape[:-1], -1).contiguous()
    rest = {name: value for name, value in given.items() if name in _PLACES}
    rest["scale"] = rest.get("scale") or q.shape[-1] ** -0.5
    return F.scaled_dot_product_attention(q, k, units, **rest)


def _scores(given: dict[str, Any]) -> Tensor:
    q, k = given["query"].double(), given["key"].double()
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    scale = given.get("scale")
    made = torch.einsum("bhqd,bhkd->bhqk", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    mask = given.get("attn_mask")
    if given.get("is_causal"):
        row, column = torch.arange(made.shape[-2])[:, None], torch.arange(made.shape[-1])
        made = made.where((column <= row).to(made.device), -math.inf)
    if mask is None:
        return made
    return made.where(mask, -math.inf) if mask.dtype == torch.bool else made + mask.double()
