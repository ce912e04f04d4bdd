"""`scale` of a norm, from what the norm itself returns for inputs whose scale is known.

Weight and bias are read off its outputs for vectors of ±A, whose mean is 0 and whose ε does not count; whether it takes
the mean off shows in its output for a constant vector. Then scale = |w·(x − mean)| / |out − b|, in float64.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from darklantern.models.on_torch.checking.certificate import Outcome
from darklantern.models.on_torch.checking.comparing import compared, tolerance, uncovered
from darklantern.models.on_torch.checking.subject import BROKEN, Place, Subject, told

ORACLE = "the norm's answers to known vectors"
_A = 64.0
_FLOAT32 = 2e-5
"""in which many norms compute whatever they are given"""


def findings(subject: Subject) -> Iterator[Outcome]:
    for place in subject.ports("scale"):
        try:
            with torch.no_grad():
                yield _scale(subject, place)
        except BROKEN as error:
            yield uncovered(place, ORACLE, told(error))


def _scale(subject: Subject, place: Place) -> Outcome:
    found, module, seen = subject.values[place], place.point.module, subject.seen_at(place)
    x, out = seen.argument, seen.result
    shape = getattr(module, "normalized_shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        return uncovered(place, ORACLE, f"it normalises over {len(shape)} axes")
    width = x.shape[-1]
    bias = _of(module, torch.zeros(width), x)
    constant = _of(module, torch.full((width,), _A), x)
    even = width - width % 2
    probe = _A * torch.tensor([1.0, -1.0]).repeat(width // 2 + 1)[:width]
    if even != width:
        probe[-1] = 0.0
    known = _A * (even / width) ** 0.5
    weight = (_of(module, probe, x) - bias) * known / probe.where(probe != 0, 1.0).to(x.device).double()
    centres = bool((constant - bias).abs().max() < 1e-2 * max(float(weight.abs().max()), 1e-30))
    wide = x.double()
    middle = wide - wide.mean(-1, keepdim=True) if centres else wide
    use = (probe != 0).to(x.device)
    above = (weight * middle * use).norm(dim=-1, keepdim=True)
    below = ((out.double() - bias) * use).norm(dim=-1, keepdim=True)
    # Where the centred input is zero, as behind a padding token's embedding, any scale gives the same output.
    somewhere = above > 0
    allowed = max(tolerance(out), _FLOAT32) * 5
    return compared(place, ORACLE, found.double()[somewhere], (above / below)[somewhere], allowed)


def _of(module: nn.Module, vector: Tensor, like: Tensor) -> Tensor:
    return module(vector.to(like).expand(1, 1, -1)).flatten().double()
