"""`pre`, `post`, `slope`, `neurons`, `router`, by calling the module that they belong to by itself."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from darklantern.models.on_torch.checking.certificate import Outcome
from darklantern.models.on_torch.checking.comparing import compared, difference, measured, tolerance, uncovered
from darklantern.models.on_torch.checking.subject import BROKEN, Place, Subject, told
from darklantern.models.on_torch.structure import tensors

ALONE = "the activation called by itself"
PRODUCT = "slope · pre = post"
DOWN = "the down-projection called by itself"
UNGATED = "post, where nothing gates it"
GATE = "the router called by itself"


def findings(subject: Subject) -> Iterator[Outcome]:
    kinds = {"pre": _pre_and_post, "post": _pre_and_post, "slope": _slope, "neurons": _neurons, "router": _router}
    for place in subject.ports(*kinds):
        try:
            with torch.no_grad():
                yield from kinds[place.port](subject, place)
        except BROKEN as error:
            yield uncovered(place, "", told(error))


def _pre_and_post(subject: Subject, place: Place) -> Iterator[Outcome]:
    other = subject.value(place.path, "post" if place.port == "pre" else "pre", place.call)
    if other is None:
        yield uncovered(place, ALONE, "its counterpart was not recorded")
        return
    pre, post = (subject.values[place], other) if place.port == "pre" else (other, subject.values[place])
    made = subject.seen_at(place).again(place.point.module, pre.clone())
    yield compared(place, ALONE, post, made)


def _slope(subject: Subject, place: Place) -> Iterator[Outcome]:
    pre, post = (subject.value(place.path, port, place.call) for port in ("pre", "post"))
    if pre is None or post is None:
        yield uncovered(place, PRODUCT, "its pre and post were not recorded")
        return
    yield compared(place, PRODUCT, subject.values[place].double() * pre.double(), post.double(), tolerance(post))


def _neurons(subject: Subject, place: Place) -> Iterator[Outcome]:
    found, seen = subject.values[place], subject.seen_at(place)
    out = seen.result
    yield compared(place, DOWN, seen.again(place.point.module, found.clone()), out)
    mlp = subject.named(place.path)
    whole = subject.seen[mlp][0].result if mlp in subject.seen else None
    if isinstance(whole, Tensor) and difference(whole.reshape(-1), out.reshape(-1)) > tolerance(out):
        yield uncovered(place, DOWN, "what this projection returns is not what the MLP returns")
    post = subject.value(place.path, "post", place.call)
    if subject.value(place.path, "slope", place.call) is not None and post is not None:
        yield compared(place, UNGATED, found, post)


def _router(subject: Subject, place: Place) -> Iterator[Outcome]:
    found, seen, gate = subject.values[place], subject.seen_at(place), place.point.module
    weight = getattr(gate, "weight", None)
    if isinstance(weight, Tensor) and weight.shape[0] == found.shape[-1] and weight.device.type != "meta":
        bias = getattr(gate, "bias", None)
        made = seen.argument.double() @ weight.double().T + (0.0 if bias is None else bias.double())
        yield compared(place, "input · weight", found.double(), made.reshape(found.shape), tolerance(found) * 4)
    again = [each for each in tensors(seen.again(gate, seen.argument.clone())) if each.numel() == found.numel()]
    apart = [difference(found, each.reshape(found.shape)) for each in again if each.is_floating_point()]
    yield measured(place, GATE, min(apart, default=math.inf), tolerance(found))
