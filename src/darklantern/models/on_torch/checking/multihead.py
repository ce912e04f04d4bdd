"""`nn.MultiheadAttention`, against the weights that it returns itself when asked for each head's."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from darklantern.models.on_torch.checking.certificate import Outcome
from darklantern.models.on_torch.checking.comparing import compared, tolerance, uncovered
from darklantern.models.on_torch.checking.subject import BROKEN, Place, Seen, Subject, told
from darklantern.models.on_torch.ports.multihead import MultiheadTap
from darklantern.models.on_torch.structure import mapped

ORACLE = "need_weights=True"
_NAMES = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask", "average_attn_weights", "is_causal")


def findings(subject: Subject) -> Iterator[Outcome]:
    """The pattern as the module returns it; q, k and v by what follows from them and it."""
    for place in subject.values:
        module = place.point.module
        if not isinstance(place.point.tap, MultiheadTap) or place.port == "result":
            continue
        assert isinstance(module, nn.MultiheadAttention)
        try:
            pattern = _weights(module, subject.seen_at(place))
            yield _finding(subject, place, module, pattern)
        except BROKEN as error:
            yield uncovered(place, ORACLE, told(error))


def _weights(module: nn.MultiheadAttention, seen: Seen) -> Tensor:
    given: dict[str, Any] = {**dict(zip(_NAMES, seen.args, strict=False)), **seen.kwargs}
    given = {name: mapped(value, lambda tensor: tensor.clone()) for name, value in given.items()}
    # A causal flag is a hint about the mask; with weights asked for, the mask alone counts.
    given |= {"need_weights": True, "average_attn_weights": False, "is_causal": False}
    with torch.no_grad():
        found: Tensor = module(**given)[1]
    return found.nan_to_num(0.0)


def _finding(subject: Subject, place: Place, module: nn.MultiheadAttention, pattern: Tensor) -> Outcome:
    found = subject.values[place]
    held = {port: subject.value(place.path, port, place.call) for port in ("q", "k", "v", "scores", "z")}
    if place.port == "pattern":
        return compared(place, ORACLE, found, pattern)
    if place.port == "scores":
        soft = found.double().softmax(-1).nan_to_num(0.0)
        return compared(place, f"softmax, {ORACLE}", soft, pattern.double(), tolerance(found))
    if place.port == "z":
        # What the output projection makes of it must be what the module returned.
        truth = subject.seen_at(place).result
        made = module.out_proj(found.flatten(-2))
        return compared(place, "the module's output", made if module.batch_first else made.transpose(0, 1), truth)
    if place.port == "v" and held["z"] is not None:
        z = torch.einsum("bhqk,bkhd->bqhd", pattern.double(), found.double())
        return compared(place, f"times {ORACLE}", z.to(found.dtype), held["z"])
    if place.port in ("q", "k") and held["q"] is not None and held["k"] is not None and held["scores"] is not None:
        forbidden = held["scores"].isneginf()
        made = torch.einsum("bqhd,bkhd->bhqk", held["q"].double(), held["k"].double()) / math.sqrt(found.shape[-1])
        soft = made.masked_fill(forbidden, -math.inf).softmax(-1).nan_to_num(0.0)
        if not _only_forbids(subject.seen_at(place)):
            return uncovered(
                place, f"softmax, {ORACLE}", "its mask adds numbers, so q·k alone does not give the pattern"
            )
        return compared(place, f"softmax, {ORACLE}", soft, pattern.double(), tolerance(found))
    return uncovered(place, ORACLE, "the ports that it is checked with were not recorded")


def _only_forbids(seen: Seen) -> bool:
    masks = [seen.kwargs.get("attn_mask"), seen.args[5] if len(seen.args) > 5 else None]
    return all(
        mask is None or mask.dtype == torch.bool or bool(((mask == 0) | mask.isneginf()).all()) for mask in masks
    )
