"""`resid_mid`, by adding up what the block's parts returned; and what a step taken there does to the block's output."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from darklantern.errors import DarkLanternError
from darklantern.models import edits
from darklantern.models.on_torch.checking.certificate import Outcome
from darklantern.models.on_torch.checking.comparing import compared, difference, tolerance, uncovered
from darklantern.models.on_torch.checking.subject import BROKEN, Place, Subject, told

SUM = "block's input + attention's output"
POST_NORM = "the norms of input + attention's output"
STEP = "a step there = step + what the MLP makes of it"


_Layer = nn.TransformerEncoderLayer | nn.TransformerDecoderLayer


def findings(subject: Subject) -> Iterator[Outcome]:
    for place in subject.ports("resid_mid"):
        try:
            with torch.no_grad():
                layer = subject.named(place.path)
                post_norm = isinstance(layer, _Layer) and not layer.norm_first
                yield _normed(subject, place, layer) if post_norm else _sum(subject, place)
                yield _step(subject, place)
        except (DarkLanternError, *BROKEN) as error:
            yield uncovered(place, STEP, told(error))


def _sum(subject: Subject, place: Place) -> Outcome:
    found, block = subject.values[place], place.point.module
    stream = subject.seen_at(place).argument
    attention = [subject.named(f"{place.path}.{name}") for name in ("attn", "cross_attn")]
    parts = [each for each in attention if each is not None]
    # Where a norm stands behind the attention, it is the norm's output that is added.
    sums = [(SUM, parts)] if parts else []
    sums += [(f"block's input + {type(each).__name__}'s output", [each]) for each in block.children()]
    apart = []
    for name, held in sums:
        outs = [subject.seen[part][place.call].result for part in held if part in subject.seen]
        if len(outs) == len(held) and all(isinstance(out, Tensor) and out.shape == found.shape for out in outs):
            made = sum(outs, start=stream)
            apart.append((difference(found, made), name, made))
    if not apart:
        return uncovered(place, SUM, "none of its parts returned something of that shape")
    _, name, made = min(apart, key=lambda each: each[0])
    why = "no part's output, added to the block's input, gives it (a scaled residual?)"
    return compared(place, name, found, made, why=why)


def _normed(subject: Subject, place: Place, layer: Any) -> Outcome:
    """torch's post-norm layers: each attention's output is added to the stream, and a norm behind it makes the next."""
    found, stream = subject.values[place], subject.seen[layer][place.call].argument
    attentions = [(layer.self_attn, layer.norm1)]
    if isinstance(layer, nn.TransformerDecoderLayer):
        attentions.append((layer.multihead_attn, layer.norm2))
    for attention, norm in attentions:
        stream = norm(stream + subject.seen[attention][place.call].result)
    return compared(place, POST_NORM, found, stream)


def _step(subject: Subject, place: Place) -> Outcome:
    block, found, through = subject.named(place.path), subject.values[place], _behind(subject, place)
    if block is None or through is None:
        return uncovered(place, STEP, "the block has no MLP and norm of its own")
    if difference(through(found), subject.seen[block][place.call].result) > tolerance(found):
        return uncovered(place, STEP, "the block's output is not its stream plus its MLP's output alone")
    generator = torch.Generator().manual_seed(1)
    step = torch.randn(found.shape, generator=generator).to(found) * found.double().std().to(found)
    site = subject.numbered(place)
    out = next((site for site, point in subject.sites if point.module is block and site.port == "out"), None)
    if out is None:
        return uncovered(place, STEP, "its output cannot be recorded")
    recording = subject.record(out, edits={site: edits.add(step)})
    return compared(place, STEP, recording[out].array, through(found + step), tolerance(found) * 4)


def _behind(subject: Subject, place: Place) -> Callable[[Tensor], Tensor] | None:
    """What makes the block's output of the stream there."""
    layer: Any = subject.named(place.path)
    if isinstance(layer, _Layer):
        last = layer.norm2 if isinstance(layer, nn.TransformerEncoderLayer) else layer.norm3

        def fed(value: Tensor) -> Tensor:
            made: Tensor = layer.linear2(layer.activation(layer.linear1(value)))
            return made

        return (lambda x: x + fed(last(x))) if layer.norm_first else (lambda x: last(x + fed(x)))
    norm, mlp = (subject.named(f"{place.path}.{name}") for name in ("norm2", "mlp"))
    return None if norm is None or mlp is None else lambda stream: _through(norm, mlp, stream)


def _through(norm: nn.Module, mlp: nn.Module, stream: Tensor) -> Tensor:
    made = mlp(norm(stream))
    return stream + (made[0] if isinstance(made, tuple) else made)
