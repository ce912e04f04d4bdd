"""`result`, by calling the output projection with one head at a time; `q_pre`, `k_pre`: rotation keeps norms."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from darklantern.models.on_torch.checking.certificate import Outcome
from darklantern.models.on_torch.checking.comparing import EXACT, compared, difference, measured, tolerance, uncovered
from darklantern.models.on_torch.checking.subject import BROKEN, Place, Subject, told
from darklantern.models.on_torch.ports.multihead import MultiheadTap

SUM = "heads' sum + bias = the attention's output"
ALONE = "each head alone through the projection"
SOURCE = "the projection's output, by heads"
ROTATION = "rotation keeps norms"
_TABLES = 2e-5
"""sines and cosines are float32's in any model"""


def findings(subject: Subject) -> Iterator[Outcome]:
    for place in subject.ports("result"):
        try:
            yield from _result(subject, place)
        except BROKEN as error:
            yield uncovered(place, ALONE, told(error))
    for place in subject.ports("q_pre", "k_pre"):
        yield from _before_rotary(subject, place)


def _result(subject: Subject, place: Place) -> Iterator[Outcome]:
    found, module = subject.values[place], place.point.module
    seen = subject.seen_at(place)
    projection: nn.Module
    own_z = subject.value(place.path, "z", place.call)
    if isinstance(place.point.tap, MultiheadTap):
        assert isinstance(module, nn.MultiheadAttention)
        if own_z is None:
            yield uncovered(place, ALONE, "its z was not recorded")
            return
        per_head, projection, truth = own_z, module.out_proj, seen.result
        truth = truth if module.batch_first else truth.transpose(0, 1)
    else:
        projection, truth = module, seen.result
        # What went into the projection, seen by torch's hooks, and not the engine's z.
        per_head = seen.argument.flatten(2).unflatten(-1, (found.shape[2], -1))
    with torch.no_grad():
        nothing = projection(torch.zeros_like(per_head.flatten(2)))
        parts = [projection(_alone(per_head, head)) - nothing for head in range(found.shape[2])]
    if difference(torch.stack(parts, 2).sum(2) + nothing, truth) > tolerance(found) * 4:
        yield uncovered(place, ALONE, "the projection is not linear (quantised?): heads alone do not add up to all")
    else:
        yield compared(place, ALONE, found, torch.stack(parts, 2), tolerance(found) * 4)
    yield compared(place, SUM, found.sum(2) + nothing, truth, tolerance(found) * 4)
    attention = subject.named(place.path)
    if attention is not None and attention is not module and attention in subject.seen:
        whole = subject.seen[attention][min(place.call, len(subject.seen[attention]) - 1)].result
        if isinstance(whole, Tensor) and whole.shape == truth.shape and not torch.equal(whole, truth):
            yield uncovered(place, SUM, "the attention goes on from the projection's output, which the heads add up to")


def _alone(per_head: Tensor, head: int) -> Tensor:
    made = torch.zeros_like(per_head)
    made[:, :, head] = per_head[:, :, head]
    return made.flatten(2)


def _before_rotary(subject: Subject, place: Place) -> Iterator[Outcome]:
    found, source = subject.values[place], subject.seen_at(place).result
    if isinstance(source, Tensor) and source.numel() == found.numel():
        # Some norms are given heads before positions; which of the two it is, the rotation's other side tells.
        if source.ndim == 4 and difference(found, source.reshape(found.shape)):
            source = source.transpose(1, 2)
        yield compared(place, SOURCE, found, source.reshape(found.shape), EXACT)
    after = subject.value(place.path, place.port.removesuffix("_pre"), place.call)
    if after is None or after.shape != found.shape:
        shape = "nothing" if after is None else tuple(after.shape)
        why = f"behind it stands {shape}, not {tuple(found.shape)}"
        turned = after is not None and sorted(after.shape) == sorted(found.shape)
        yield measured(place, ROTATION, math.inf, 0.0, why) if turned else uncovered(place, ROTATION, why)
        return
    after_norm, before_norm = after.double().norm(dim=-1), found.double().norm(dim=-1)
    somewhere = (before_norm + after_norm).gt(0)  # a padding token's embedding may be zero
    ratio = after_norm[somewhere] / before_norm[somewhere]
    apart = float((ratio / ratio.median() - 1).abs().max()) if ratio.numel() else math.inf
    attention = subject.named(place.path)
    sources = {each.point.module for each in subject.ports("q_pre", "k_pre")}
    behind = [] if attention is None else [name for name, each in attention.named_children() if each not in sources]
    if apart > _TABLES and any("norm" in name for name in behind):
        yield uncovered(place, ROTATION, "the attention has a norm that may stand behind the rotation")
        return
    yield measured(
        place, ROTATION, apart, max(tolerance(found), _TABLES), "more than a rotation stands between it and the kernel"
    )
