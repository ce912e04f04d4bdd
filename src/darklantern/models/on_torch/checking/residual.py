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
    attention = subject.named(f"{place.path}.attn")
    parts = [attention, *(child for child in block.children() if child is not attention)]
    apart = []
    for part in parts:
        out = subject.seen[part][place.call].result if part is not None and part in subject.seen else None
        if isinstance(out, Tensor) and out.shape == found.shape:
            apart.append((difference(found, stream + out), out, part))
    if not apart:
        return uncovered(place, SUM, "none of its parts returned something of that shape")
    # Where a norm stands behind the attention, it is the norm's output that is added.
    _, out, part = min(apart, key=lambda each: each[0])
    name = "attention" if part is attention else type(part).__name__
    return compared(
        place,
        SUM if part is attention else f"block's input + {name}'s output",
        found,
        stream + out,
        why="no part's output, added to the block's input, gives it (a scaled residual?)",
    )


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
