"""`resid_mid`, by adding up what the block's parts returned; and what a step taken there does to the block's output."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from darklantern.errors import DarkLanternError
from darklantern.models import edits
from darklantern.models.on_torch.checking.certificate import Finding
from darklantern.models.on_torch.checking.comparing import compared, difference, tolerance, uncovered
from darklantern.models.on_torch.checking.subject import BROKEN, Place, Subject, told

SUM = "block's input + attention's output"
STEP = "a step there = step + what the MLP makes of it"


def findings(subject: Subject) -> Iterator[Finding]:
    for place in subject.ports("resid_mid"):
        try:
            with torch.no_grad():
                yield _sum(subject, place)
                yield _step(subject, place)
        except (DarkLanternError, *BROKEN) as error:
            yield uncovered(place, STEP, told(error))


def _sum(subject: Subject, place: Place) -> Finding:
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


def _step(subject: Subject, place: Place) -> Finding:
    block, found = place.point.module, subject.values[place]
    norm, mlp = (subject.named(f"{place.path}.{name}") for name in ("norm2", "mlp"))
    if norm is None or mlp is None:
        return uncovered(place, STEP, "the block has no MLP and norm of its own")
    if difference(_through(norm, mlp, found), subject.seen_at(place).result) > tolerance(found):
        return uncovered(place, STEP, "the block's output is not its stream plus its MLP's output alone")
    generator = torch.Generator().manual_seed(1)
    step = torch.randn(found.shape, generator=generator).to(found) * found.double().std().to(found)
    site = subject.numbered(place)
    out = next((site for site, point in subject.sites if point.module is block and site.port == "out"), None)
    if out is None:
        return uncovered(place, STEP, "its output cannot be recorded")
    recording = subject.record(out, edits={site: edits.add(step)})
    truth = _through(norm, mlp, found + step)
    return compared(place, STEP, recording[out].array, truth, tolerance(found) * 4)


def _through(norm: nn.Module, mlp: nn.Module, stream: Tensor) -> Tensor:
    made = mlp(norm(stream))
    return stream + (made[0] if isinstance(made, tuple) else made)
