"""Edits: a value put back gives the bare output, and another value does not."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from darklantern.errors import DarkLanternError
from darklantern.models import edits
from darklantern.models.on_torch.checking.certificate import BACK, DIFFERS, OK, OTHER, Outcome, part
from darklantern.models.on_torch.checking.comparing import EXACT, difference, measured, tolerance, uncovered
from darklantern.models.on_torch.checking.subject import BROKEN, Place, Subject, outputs, same, told
from darklantern.models.on_torch.structure import tensors

UNUSED = "the output does not depend on it"
_PLAIN = frozenset({"in", "out", "pre", "post", "neurons"})


def findings(subject: Subject) -> Iterator[Outcome]:
    """At the first and the last site of each part. Costs two or three runs for each of them."""
    groups: dict[str, list[Place]] = {}
    for place in subject.values:
        groups.setdefault(part(place.path, place.port), []).append(place)
    shown: list[Outcome] = []
    for places in groups.values():
        ends = list(dict.fromkeys((places[0], places[-1])))
        back = [_put_back(subject, place) for place in ends]
        yield from back
        shown.append(_other(subject, ends, max((each.difference or 0.0 for each in back), default=0.0)))
    working = {each.port for each in shown if each.verdict == OK}
    for each in shown:
        # Some inputs and outputs are used by nobody, but not all of them.
        nothing = each.reason == UNUSED and each.port not in working
        yield replace(each, verdict=DIFFERS) if nothing else each


def _put_back(subject: Subject, place: Place) -> Outcome:
    held = subject.values[place]

    def there_and_back(value: Tensor) -> Tensor:
        return edits.put(held)(torch.zeros_like(value), ())

    output = _run(subject, place, there_and_back)
    if isinstance(output, str):
        return uncovered(place, BACK, output)
    floats = list(outputs(subject.output))
    # A view laid out otherwise in memory is put back as a tensor of its own, which torch's kernels may round otherwise.
    # So may a module that is given one tensor as several arguments and now finds them to be two.
    exact = place.port in _PLAIN and not (subject.seen_at(place).strided or subject.fused or _is_shared(subject, place))
    allowed = EXACT if exact else max((tolerance(each, across=True) for each in floats), default=EXACT)
    return measured(place, BACK, _apart(subject, output), allowed)


def _is_shared(subject: Subject, place: Place) -> bool:
    seen = subject.seen_at(place)
    given = [each for each in tensors((seen.args, seen.kwargs)) if same(each, seen.argument)]
    return place.port not in ("out", "post") and len(given) > 1


def _other(subject: Subject, places: list[Place], rounding: float) -> Outcome:
    """One of them at least must show in the output, by far more than `rounding`."""
    said = ""
    for place in places:
        # Small scores have almost no effect on the pattern, whatever they are.
        output = _run(subject, place, partial(_changed, least=2.0 if place.port == "scores" else 1e-3))
        if isinstance(output, str):
            said = output
        elif _apart(subject, output) > 10 * rounding:
            return Outcome(place.path, place.port, OTHER, OK)
        else:
            said = UNUSED
    if said == UNUSED and places[0].port not in ("in", "out"):
        return Outcome(places[0].path, places[0].port, OTHER, DIFFERS, reason="an edit there does nothing")
    return uncovered(places[0], OTHER, said)


def _apart(subject: Subject, output: Any) -> float:
    pairs = list(zip(tensors(output), tensors(subject.output), strict=False))
    return max((difference(*pair) for pair in pairs), default=math.inf)


def _run(subject: Subject, place: Place, edit: Any) -> Any:
    """The output under `edit`, or why there is none."""
    try:
        return subject.record(edits={subject.numbered(place): edit}).output
    except (DarkLanternError, *BROKEN) as error:
        return told(error)


def _changed(value: Tensor, least: float) -> Tensor:
    """Something else that is valid there."""
    if value.dtype == torch.bool:
        return ~value
    if not value.is_floating_point():
        return value.flip(-1).roll(1, -1)
    generator = torch.Generator().manual_seed(2)
    finite = value.where(value.isfinite(), 0.0)
    size = finite.double().square().mean().sqrt().to(value).clamp(min=least)
    noise = torch.rand(value.shape, generator=generator).to(value)
    return value * 0.5 + noise * size
