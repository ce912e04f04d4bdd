"""`check`: certify the checkpoint at hand, every port against a computation that is not the engine's own.

In: an opened model and inputs. Out: a Certificate. The model stays as it is: hooks go, random numbers and weights
are where they were. An oracle is a function from a Subject to Findings, one file for each kind; none of them computes
a value the way the engine does.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from darklantern.errors import SiteError
from darklantern.models.on_torch.checking import (
    activations,
    bare,
    editing,
    exporting,
    functional,
    heads,
    hooks,
    kernels,
    multihead,
    norms,
    notes,
    residual,
    starts,
)
from darklantern.models.on_torch.checking.certificate import DIFFERS, NOT_COVERED, Certificate, Outcome, grouped
from darklantern.models.on_torch.checking.drawing_inputs import drawn
from darklantern.models.on_torch.checking.subject import BROKEN, Subject, told

if TYPE_CHECKING:
    from darklantern.models.on_torch.opened import Model

__all__ = ["Certificate", "Outcome", "check"]

Oracle = Callable[[Subject], Iterable[Outcome]]
VALUES: tuple[Oracle, ...] = (
    hooks.findings, kernels.findings, functional.findings, multihead.findings, heads.findings,
    norms.findings, activations.findings, residual.findings,
)  # fmt: skip
"""what the value at a port should be"""


def check(model: "Model", inputs: Any = None, export: bool = False) -> Certificate:
    """Certify `model` on `inputs`, drawn at random for language models when None. Raises SiteError without inputs."""
    if model.plan().edits:
        raise SiteError("this model has edits in place, which change what it returns", hint="check the model without")
    inputs, shown = (inputs, "the inputs given") if inputs is not None else drawn(model.module)
    before = bare.State(model.module)
    subject = Subject(model, inputs)
    with subject.unchanged():
        found = list(_values(subject))
        if export:
            found += _held(exporting.findings, subject)
        found += _held(editing.findings, subject)
        found += _held(starts.findings, subject)
    found = [*bare.findings(subject, before), *found]
    versions = f"torch {torch.__version__}"
    kind = type(model.module).__name__
    return Certificate(kind, shown, versions, grouped(found), tuple(notes.notes(model.module)))


def _held(oracle: Oracle, subject: Subject) -> Iterator[Outcome]:
    """What `oracle` says, up to where it breaks down."""
    try:
        yield from oracle(subject)
    except BROKEN as error:
        name = oracle.__module__.rpartition(".")[2]
        yield Outcome("model", "out", f"oracles of {name}", NOT_COVERED, reason=f"they broke down: {told(error)}")


def _values(subject: Subject) -> Iterator[Outcome]:
    found = [finding for oracle in VALUES for finding in _held(oracle, subject)]
    yield from found
    told = {(each.path, each.port) for each in found}
    run = {id(place.site) for place in subject.places}
    for site, _ in subject.sites:
        if id(site) not in run:
            yield Outcome(site.path, site.port, "", NOT_COVERED, reason="its module does not run with these inputs")
    for place in subject.places:
        if place in subject.crashed:
            reason = f"recording it failed: {subject.crashed[place]}"
            yield Outcome(place.path, place.port, "recording", DIFFERS, reason=reason)
        elif place in subject.refused:
            yield Outcome(place.path, place.port, "", NOT_COVERED, reason=subject.refused[place])
        elif (place.path, place.port) not in told:
            yield Outcome(place.path, place.port, "", NOT_COVERED, reason="no oracle for it here")
