"""Edits: a value put back gives the bare output, and another value does not."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from darklantern.errors import DarkLanternError
from darklantern.models import edits
from darklantern.models.on_torch.checking.certificate import DIFFERS, OK, Finding, part
from darklantern.models.on_torch.checking.comparing import EXACT, difference, measured, tolerance, uncovered
from darklantern.models.on_torch.checking.subject import BROKEN, Place, Subject, outputs, same, told
from darklantern.models.on_torch.structure import tensors

BACK = "zeroed and put back: the bare output"
OTHER = "another value there: another output"
_PLAIN = frozenset({"in", "out", "pre", "post", "neurons"})


def findings(subject: Subject) -> Iterator[Finding]:
    """At the first and the last site of each part. Costs two or three runs for each of them."""
    groups: dict[str, list[Place]] = {}
    for place in subject.values:
        groups.setdefault(part(place.path, place.port), []).append(place)
    for places in groups.values():
        ends = list(dict.fromkeys((places[0], places[-1])))
        yield from (_put_back(subject, place) for place in ends)
        yield from _other(subject, ends)


def _put_back(subject: Subject, place: Place) -> Finding:
    held = subject.values[place]
    strided = []

    def there_and_back(value: Tensor) -> Tensor:
        if not value.is_contiguous():
            strided.append(value)
        gone = torch.zeros_like(value)
        return edits.put(held)(gone, ())

    output = _run(subject, place, there_and_back)
    if isinstance(output, str):
        return uncovered(place, BACK, output)
    pairs = list(zip(tensors(output), tensors(subject.output), strict=True))
    apart = max((difference(*pair) for pair in pairs), default=math.inf)
    floats = list(outputs(subject.output))
    # A view laid out otherwise in memory is put back as a tensor of its own, which torch's kernels may round otherwise.
    # So may a module that is given one tensor as several arguments and now finds them to be two.
    exact = place.port in _PLAIN and not (strided or subject.fused or _is_shared(subject, place))
    allowed = EXACT if exact else max((tolerance(each, across=True) for each in floats), default=EXACT)
    return measured(place, BACK, apart, allowed)


def _is_shared(subject: Subject, place: Place) -> bool:
    seen = subject.seen_at(place)
    given = [each for each in tensors((seen.args, seen.kwargs)) if same(each, seen.argument)]
    return place.port not in ("out", "post") and len(given) > 1


def _other(subject: Subject, places: list[Place]) -> Iterator[Finding]:
    """One of them at least must show in the output."""
    moved, said = [], ""
    for place in places:
        output = _run(subject, place, _changed)
        if isinstance(output, str):
            said = output
            continue
        pairs = list(zip(tensors(output), tensors(subject.output), strict=False))
        moved.append(max((difference(*pair) for pair in pairs), default=0.0))
        if moved[-1]:
            break
    place = places[0]
    if not moved:
        yield uncovered(place, OTHER, said)
    elif any(moved):
        yield Finding(place.path, place.port, OTHER, OK, None, None)
    elif place.port in ("in", "out"):
        yield uncovered(place, OTHER, "the output does not depend on it")
    else:
        yield Finding(place.path, place.port, OTHER, DIFFERS, reason="an edit there does nothing")


def _run(subject: Subject, place: Place, edit: Any) -> Any:
    """The output under `edit`, or why there is none."""
    try:
        return subject.record(edits={subject.numbered(place): edit}).output
    except (DarkLanternError, *BROKEN) as error:
        return told(error)


def _changed(value: Tensor) -> Tensor:
    """Something else that is valid there."""
    if value.dtype == torch.bool:
        return ~value
    if not value.is_floating_point():
        return value.flip(-1).roll(1, -1)
    generator = torch.Generator().manual_seed(2)
    finite = value.where(value.isfinite(), 0.0)
    size = finite.double().square().mean().sqrt().to(value) + 1e-3
    noise = torch.rand(value.shape, generator=generator).to(value)
    return value * 0.5 + noise * size
