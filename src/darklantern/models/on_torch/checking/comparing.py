"""How far two computations of one value are apart, and how far they may be."""

import math

import torch
from torch import Tensor

from darklantern.models.on_torch.checking.certificate import DIFFERS, NOT_COVERED, OK, Outcome
from darklantern.models.on_torch.checking.subject import Place

_ROUNDING = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}
"""a few roundings of the dtype, relative to the largest entry"""
_ACROSS = 10
"""two runs of a whole model with another kernel differ by more: each layer starts from the last one's rounding"""
EXACT = 0.0


def tolerance(value: Tensor, across: bool = False) -> float:
    """What rounding may do to `value`; `across` where the whole model ran in another way."""
    return _ROUNDING.get(value.dtype, 2e-5) * (_ACROSS if across else 1)


@torch.no_grad()
def difference(found: Tensor, truth: Tensor) -> float:
    """The largest difference, relative to the largest finite entry of `truth`. NaN and infinity must stand alike."""
    if found.shape != truth.shape:
        return math.inf
    found, truth = (each.detach().to(torch.float64).cpu() for each in (found, truth))
    same = (found == truth) | (found.isnan() & truth.isnan())
    if bool(same.all()):
        return 0.0
    if not bool((found.isfinite() & truth.isfinite() | same).all()):
        return math.inf
    largest = float(truth.where(truth.isfinite(), 0.0).abs().max())
    apart = float((found - truth).where(~same, 0.0).abs().max())
    return apart / largest if largest else math.inf


def compared(
    place: Place, oracle: str, found: Tensor, truth: Tensor, allowed: float | None = None, why: str = ""
) -> Outcome:
    """The verdict on one value."""
    allowed = tolerance(found) if allowed is None else allowed
    return measured(place, oracle, difference(found, truth), allowed, why or _shapes(found, truth))


def measured(place: Place, oracle: str, apart: float, allowed: float, why: str = "") -> Outcome:
    fine = apart <= allowed
    return Outcome(place.path, place.port, oracle, OK if fine else DIFFERS, apart, allowed, "" if fine else why)


def uncovered(place: Place, oracle: str, reason: str) -> Outcome:
    return Outcome(place.path, place.port, oracle, NOT_COVERED, reason=reason)


def _shapes(found: Tensor, truth: Tensor) -> str:
    return "" if found.shape == truth.shape else f"shape {tuple(found.shape)}, the oracle's {tuple(truth.shape)}"
